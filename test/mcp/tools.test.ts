import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { callTool } from "../../src/mcp/call-tool.ts";
import { encodeHeader, findParamHeaders } from "../../src/mcp/param-headers.ts";
import { listTools } from "../../src/mcp/tools.ts";
import type { JsonObject } from "../../src/wire/json.ts";
import { call, modern, never, openSession, toJson, toResult } from "../support/mcp/fake-server.ts";

const tool = (name: string, more: object = {}): object => ({ name, inputSchema: { type: "object" }, ...more });

const openPages = (pageOf: (cursor: unknown) => object) =>
  openSession(
    modern(({ id, params }) => toJson(toResult(id, { resultType: "complete", ...pageOf(params["cursor"]) }))),
  );

describe("the list of tools", () => {
  it("has what a server says of them", async () => {
    const { session } = openPages(() => ({
      ttlMs: 5,
      tools: [
        tool("a", {
          title: "A",
          description: "does a",
          annotations: { readOnlyHint: true, idempotentHint: "yes" },
          icons: [],
        }),
        tool("b.c", { annotations: { title: "B", idempotentHint: true } }),
        tool("d", { title: 1, description: {}, annotations: [] }),
      ],
    }));
    const inputSchema = { type: "object" };
    expect(await listTools(session, never())).toEqual({
      ttlMs: 5,
      tools: [
        {
          name: "a",
          title: "A",
          description: "does a",
          inputSchema,
          annotations: { readOnly: true, idempotent: false },
        },
        { name: "b.c", title: "B", inputSchema, annotations: { readOnly: false, idempotent: true } },
        { name: "d", inputSchema, annotations: { readOnly: false, idempotent: false } },
      ],
    });
  });

  it("follows pages, and may be used as long as the page that ends first", async () => {
    const pages = [
      { tools: [tool("a")], nextCursor: "1", ttlMs: 90_000 },
      { tools: [], nextCursor: "", ttlMs: 70_000 },
      { tools: [tool("b")], nextCursor: null, ttlMs: 80_000 },
    ];
    const { session } = openPages((cursor) => pages[cursor === undefined ? 0 : cursor === "1" ? 1 : 2]!);
    const { tools, ttlMs } = await listTools(session, never());
    expect(tools.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(ttlMs).toBe(70_000);
  });

  it("may be used for a minute if the server does not say how long", async () => {
    for (const [ttlMs, used] of [
      [undefined, 60_000],
      ["1", 60_000],
      [-1, 0],
      [1e300, 86_400_000],
    ])
      expect(await listTools(openPages(() => ({ tools: [], ttlMs })).session, never())).toEqual({
        tools: [],
        ttlMs: used,
      });
  });

  it("must end", async () => {
    let page = 0;
    const same = openPages(() => ({ tools: [], nextCursor: "again" }));
    await expect(listTools(same.session, never())).rejects.toThrow("does not end");
    const many = openPages(() => ({ tools: [tool(`t${page++}`)], nextCursor: String(page) }));
    await expect(listTools(many.session, never())).rejects.toThrow("more than 1000 tools");
    expect(many.received.length).toBeLessThan(110);
    const large = openPages(() => ({ tools: Array.from({ length: 1_001 }, (_, i) => tool(`t${i}`)) }));
    await expect(listTools(large.session, never())).rejects.toThrow("more than 1000 tools");
    const exact = openPages(() => ({ tools: Array.from({ length: 1_000 }, (_, i) => tool(`t${i}`)) }));
    expect((await listTools(exact.session, never())).tools).toHaveLength(1_000);
  });

  it.each([
    ["two of one name", [tool("a"), tool("b"), tool("a")], "two tools of the name a"],
    ["no array", {}, "no array"],
    ["a text", ["a"], "no object"],
    ["one without a name", [{ inputSchema: {} }], "without a name"],
    ["one with an empty name", [tool("")], "without a name"],
    ["one without a schema", [{ name: "a" }], "without an inputSchema: a"],
    ["one with null as its schema", [tool("a", { inputSchema: null })], "without an inputSchema: a"],
  ])("must not have %s", async (_, tools, text) => {
    await expect(listTools(openPages(() => ({ tools })).session, never())).rejects.toThrow(text);
  });

  it("has schemas as they are: nothing that they refer to is fetched", async () => {
    const inputSchema = {
      $ref: "https://attacker.example.com/schema.json",
      properties: { a: { $ref: "http://10.0.0.1/" } },
    };
    const { session, received } = openPages(() => ({ tools: [tool("a", { inputSchema })] }));
    expect((await listTools(session, never())).tools[0]!.inputSchema).toEqual(inputSchema);
    expect(received.map(({ method }) => method)).toEqual(["server/discover", "tools/list"]);
  });
});

describe("parameters that are sent as headers", () => {
  const property = (type: string, name: unknown): JsonObject => ({ type, "x-mcp-header": name as string });
  const schemaOf = (properties: JsonObject, more: JsonObject = {}): JsonObject => ({
    type: "object",
    properties,
    ...more,
  });
  const text = property("string", "Region");

  const valid: [string, JsonObject][] = [
    ["none", schemaOf({})],
    ["one of each type", schemaOf({ a: text, b: property("integer", "B"), c: property("boolean", "C") })],
    ["one in a nested object", schemaOf({ a: schemaOf({ b: text }) })],
    ["properties of that name", schemaOf({ "x-mcp-header": { type: "string" }, default: text })],
    [
      "data that look like one",
      schemaOf({ a: { type: "object", default: { "x-mcp-header": "" }, enum: [{ "x-mcp-header": 1 }] } }),
    ],
    ["definitions of that name", schemaOf({}, { $defs: { "x-mcp-header": { type: "string" } } })],
  ];
  const invalid: [string, JsonObject][] = [
    ["an empty name", schemaOf({ a: property("string", "") })],
    ["a name with a space", schemaOf({ a: property("string", "a b") })],
    ["a name with a line feed", schemaOf({ a: property("string", "a\nb") })],
    ["a name that is a number", schemaOf({ a: property("string", 1) })],
    ["two names that differ in case", schemaOf({ a: property("string", "A"), b: property("string", "a") })],
    ["a number", schemaOf({ a: property("number", "A") })],
    ["an object", schemaOf({ a: property("object", "A") })],
    ["a property without a type", schemaOf({ a: { "x-mcp-header": "A" } })],
    ["the schema itself", { type: "string", "x-mcp-header": "A" }],
    ["items", schemaOf({ a: { type: "array", items: text } })],
    ["a choice", schemaOf({}, { anyOf: [schemaOf({ a: text })] })],
    ["a condition", schemaOf({}, { if: schemaOf({ a: text }) })],
    ["a definition", schemaOf({}, { $defs: { a: text } })],
    ["a pattern", schemaOf({}, { patternProperties: { "^a": text } })],
    ["other properties", schemaOf({}, { additionalProperties: text })],
  ];

  it.each(valid)("may be %s", (_, schema) => expect(findParamHeaders(schema)).toBeDefined());
  it.each(invalid)("must not be %s", (_, schema) => expect(findParamHeaders(schema)).toBeUndefined());

  it("that break the rules cost a server that tool, and no other", async () => {
    const bad = invalid.map(([, inputSchema], i) => tool(`bad${i}`, { inputSchema }));
    const good = valid.map(([, inputSchema], i) => tool(`good${i}`, { inputSchema }));
    const { tools } = await listTools(openPages(() => ({ tools: [...bad, ...good] })).session, never());
    expect(tools.map(({ name }) => name)).toEqual(valid.map((_, i) => `good${i}`));
  });

  it("are those of the arguments", async () => {
    const schema = schemaOf({
      region: text,
      count: property("integer", "Count"),
      dry: property("boolean", "Dry"),
      none: property("string", "None"),
      absent: property("string", "Absent"),
      wrong: property("string", "Wrong"),
      inner: schemaOf({ deep: property("string", "Deep") }),
      toString: property("string", "Inherited"),
    });
    const args = '{"region":" 世界","count":-7,"dry":false,"none":null,"wrong":{},"inner":{"deep":"x"}}';
    const { session, received } = openSession(modern(({ id }) => toJson(toResult(id, { content: [] }))));
    await callTool(session, { ...call, args, schema }, never());
    const sent = Object.fromEntries([...received[1]!.headers].filter(([name]) => name.startsWith("mcp-param-")));
    expect(sent).toEqual({
      "mcp-param-region": "=?base64?IOS4lueVjA==?=",
      "mcp-param-count": "-7",
      "mcp-param-dry": "false",
      "mcp-param-deep": "x",
    });
  });

  it.each([
    ["us-west1", "us-west1"],
    ["", ""],
    ["a\tb", "a\tb"],
    ["Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="],
    [" padded ", "=?base64?IHBhZGRlZCA=?="],
    ["line1\nline2", "=?base64?bGluZTEKbGluZTI=?="],
    ["=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="],
  ])("are encoded as the protocol requires: %j", (value, header) => expect(encodeHeader(value)).toBe(header));

  it("are what a server decodes", () => {
    const decode = (header: string): string => {
      const base64 = /^=\?base64\?(.*)\?=$/.exec(header)?.[1];
      return base64 === undefined ? header : Buffer.from(base64, "base64").toString();
    };
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.string()), (value) => {
        fc.pre(value.isWellFormed());
        const headers = new Headers({ "mcp-name": encodeHeader(value) });
        expect(decode(headers.get("mcp-name")!)).toBe(value);
      }),
    );
  });
});
