import { describe, expect, it } from "vitest";
import type { Tool } from "../../src/canonical/types.ts";
import { encodeBody } from "../../src/gateway/request-body.ts";
import { type RequestExtension, extendRequest } from "../../src/surfaces/extend-request.ts";
import { type SurfaceId, SURFACES } from "../../src/surfaces/index.ts";
import { parseRequest, readMembers } from "../../src/surfaces/request.ts";
import type { JsonObject } from "../../src/wire/json.ts";

const schema = { type: "object", properties: { zone: { type: "string" } } };
const TIME: Tool = { kind: "function", name: "time", description: "The time", parameters: schema };
const mark = { cache_control: { type: "ephemeral" } };

/** A request of each surface with a tool of the client's own, and members that only its wire knows. */
const REQUESTS: Record<Exclude<SurfaceId, "completions">, JsonObject> = {
  chat: {
    model: "m",
    messages: [
      { role: "system", content: "Own." },
      { role: "user", content: "x" },
    ],
    tools: [{ type: "function", function: { name: "own", parameters: schema, odd: 1 } }],
    odd: 2,
  },
  responses: {
    model: "m",
    instructions: "Own.",
    input: [{ type: "message", role: "user", content: "x", odd: 1 }],
    tools: [{ type: "web_search_preview" }, { type: "function", name: "own", parameters: schema }],
    odd: 2,
  },
  messages: {
    model: "m",
    max_tokens: 9,
    system: [{ type: "text", text: "Own.", ...mark }],
    messages: [{ role: "user", content: [{ type: "text", text: "x", ...mark }] }],
    tools: [
      { type: "bash_20250124", name: "bash" },
      { name: "own", input_schema: schema, ...mark },
    ],
    odd: 2,
  },
  gemini: {
    systemInstruction: { parts: [{ text: "Own." }] },
    contents: [{ role: "user", parts: [{ text: "x" }] }],
    tools: [{ googleSearch: {} }, { functionDeclarations: [{ name: "own", parameters: schema }] }],
    odd: 2,
  },
  native: { model: "m", instructions: "Own.", input: "x", tools: [{ name: "own", parameters: schema }], seed: 2 },
};

const encode = (surface: keyof typeof REQUESTS, extension?: RequestExtension, more: JsonObject = {}): JsonObject => {
  const text = JSON.stringify({ ...REQUESTS[surface], ...more });
  const outside = surface === "gemini" ? { model: "m", stream: false } : {};
  const parsed = parseRequest(readMembers(text, new Headers(), SURFACES[surface]), SURFACES[surface], outside);
  const extended = extension === undefined ? parsed : extendRequest(parsed, extension);
  const { body, losses } = encodeBody(
    extended,
    { parent: undefined, history: [], known: 0 },
    { dialect: SURFACES[surface].dialect.id, model: "m", issuer: "" },
  );
  expect(losses).toEqual([]);
  return JSON.parse(body) as JsonObject;
};

describe.each(Object.keys(REQUESTS) as (keyof typeof REQUESTS)[])("a request of %s with tools of the server", (id) => {
  it("has the client's own tools as they were, and the server's behind them", () => {
    const { tools: own, ...rest } = encode(id) as JsonObject & { tools: JsonObject[] };
    const { tools, ...others } = encode(id, { tools: [TIME] }) as JsonObject & { tools: JsonObject[] };
    expect(others).toEqual(rest);
    for (const tool of own.filter((one) => !("functionDeclarations" in one))) expect(tools).toContainEqual(tool);
    const text = JSON.stringify(tools);
    expect([...text.matchAll(/"name":"(own|time)"/g)].map(([, name]) => name)).toEqual(["own", "time"]);
    expect(text.split("cache_control")).toHaveLength(JSON.stringify(own).split("cache_control").length);
  });

  it("has instructions in front of the client's own", () => {
    const text = JSON.stringify(encode(id, { tools: [TIME], instructions: "Of the harness." }));
    expect(text.indexOf("Of the harness.")).toBeGreaterThan(0);
    expect(text.indexOf("Own.")).toBeGreaterThan(text.indexOf("Of the harness."));
  });

  it("has another choice of tools where one is given, and no other member changes", () => {
    const changed = encode(id, { tools: [TIME], toolChoice: { mode: "none" } });
    const same = encode(id, { tools: [TIME] });
    const { tool_choice: choice, toolConfig: config, ...rest } = changed;
    expect(rest).toEqual(same);
    expect([JSON.stringify(choice), JSON.stringify(config)].join().toLowerCase()).toContain("none");
  });
});
