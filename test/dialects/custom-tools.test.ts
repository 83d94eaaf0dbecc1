import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { unfold } from "../../src/canonical/accumulator.ts";
import { customArguments, CustomInputReader, readCustomInput } from "../../src/canonical/custom-tools.ts";
import { restoreEvent, restoreResponse } from "../../src/canonical/tool-names.ts";
import type { Dialect, ModelResponse, StreamEvent } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { decodeItems } from "../../src/session/history/decode.ts";
import { listPendingCalls } from "../../src/session/turns.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import { isObject, joinItems, type Json, type JsonObject } from "../../src/wire/json.ts";
import { decodeSse } from "../../src/wire/sse.ts";

const PATCH = '*** Begin Patch\n+ say "hi" \\ \u{1F600}\n*** End Patch\n';
const GRAMMAR = { syntax: "lark", definition: "start: begin hunk+ end\n" };
const responses = DIALECTS["openai-responses"];
const chat = DIALECTS["openai-chat"];

const RESPONSES_BODY: JsonObject = {
  model: "m",
  input: [
    { role: "user", content: "go" },
    { type: "custom_tool_call", call_id: "c1", name: "apply_patch", input: PATCH },
    { type: "custom_tool_call_output", call_id: "c1", output: "Done" },
    { type: "function_call", call_id: "c2", namespace: "mcp__files", name: "read", arguments: '{"path":"a"}' },
    { type: "function_call_output", call_id: "c2", output: "text" },
  ],
  tools: [
    { type: "custom", name: "apply_patch", description: "Edits files", format: { type: "grammar", ...GRAMMAR } },
    {
      type: "namespace",
      name: "mcp__files",
      description: "Files",
      tools: [
        { type: "function", name: "read", parameters: { type: "object" } },
        { type: "custom", name: "write" },
      ],
    },
    { type: "local_shell" },
  ],
  tool_choice: { type: "custom", name: "apply_patch" },
};
const CHAT_BODY: JsonObject = {
  model: "m",
  messages: [
    { role: "user", content: "go" },
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "c1", type: "custom", custom: { name: "apply_patch", input: PATCH } }],
    },
    { role: "tool", tool_call_id: "c1", content: "Done" },
  ],
  tools: [{ type: "custom", custom: { name: "apply_patch", format: { type: "grammar", grammar: GRAMMAR } } }],
  tool_choice: {
    type: "allowed_tools",
    allowed_tools: { mode: "required", tools: [{ type: "custom", custom: { name: "apply_patch" } }] },
  },
};
const encode = (id: Dialect, body: JsonObject, surface = responses, quirks = {}) =>
  DIALECTS[id].encodeRequest(surface.decodeRequest(body), { dialect: id, model: "m", quirks });

describe("the input of a custom tool", () => {
  it("is the same after its way through arguments, in whatever pieces they arrive", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.array(fc.nat(40)), (text, cuts) => {
        const args = customArguments(text);
        const reader = new CustomInputReader();
        let read = "";
        let at = 0;
        for (const length of cuts) {
          read += reader.push(args.slice(at, at + length));
          at += length;
        }
        expect(read + reader.push(args.slice(at))).toBe(text);
        expect(readCustomInput(args)).toBe(text);
      }),
    );
  });

  it("is read from spaced, unescaped, incomplete and foreign arguments", () => {
    expect(readCustomInput('{ "input" : "a\\u00e9", "more": 1 }')).toBe("aé");
    expect(readCustomInput('{"input":"a\nb"}')).toBe("a\nb");
    expect(readCustomInput('{"input":"a\\n*** Be')).toBe("a\n*** Be");
    expect(readCustomInput("plain")).toBe("plain");
    expect(readCustomInput("{}")).toBe("");
    expect(readCustomInput("")).toBe("");
    expect(readCustomInput('{"input":""}')).toBe("");
    expect(readCustomInput('{"input":"{\\"input\\":\\"x\\"}"}')).toBe('{"input":"x"}');
  });

  it.each([
    ["under another name", '{ "patch" : "a\\nb" }', "a\nb"],
    ["under another name, empty", '{"patch":""}', ""],
    ["under another name, with characters that are not escaped", '{"patch":"a\n\\d"}\n', "a\n\\d"],
    ["under another name, incomplete", '{"patch":"a\\n*** Be', "a\n*** Be"],
    ["under another name, without an end", '{"patch":"a"', "a"],
    ["under a name that needs escape sequences", '{"p\\"":"a"}', "a"],
    ["behind another member", '{"why":"b","input":"a"}', "a"],
  ])("is the text of one member %s", (_, args, text) => expect(readCustomInput(args)).toBe(text));

  it.each([
    '{"patch":"a","more":"b"}',
    '{"patch":"a","more":1}',
    '{"patch":"a\n","more":1}',
    '{"patch":"a\n",',
    '{"patch":"say "hi""}',
    '{"patch":["a"]}',
    '{"patch":{"input":"a"}}',
    '{"input":["a"]}',
    '{"input":null}',
    '["a"]',
    '"a"',
    "1",
    "null",
  ])("is %s itself", (args) => expect(readCustomInput(args)).toBe(args));

  it.each([
    ["a backslash that is not escaped", '{"input":"/\\d+\\.x/"}', "/\\d+\\.x/"],
    ["a `u` that starts no escape sequence", '{"input":"C:\\user\\u00e9\\u12"}', "C:\\useré\\u12"],
    ["half of a surrogate pair", '{"input":"a\\ud83d"}', "a\ud83d"],
    ["characters behind the object", '{"input":"a"}}', "a"],
  ])("is read with %s, in whatever pieces", (_, args, text) => {
    expect(readCustomInput(args)).toBe(text);
    for (let size = 1; size < args.length; size++) {
      const reader = new CustomInputReader();
      let read = "";
      for (let at = 0; at < args.length; at += size) read += reader.push(args.slice(at, at + size));
      expect(read).toBe(text);
    }
  });

  it("is never cut within a surrogate pair", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.boolean(), (text, isEscaped) => {
        const escaped = text.replaceAll(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
        const args = isEscaped ? `{"input":"${escaped.replaceAll('"', '\\"')}"}` : customArguments(text);
        const reader = new CustomInputReader();
        const pieces = args.split("").map((char) => reader.push(char));
        expect(pieces.filter((piece) => !piece.isWellFormed())).toEqual([]);
        if (!isEscaped) expect(pieces.join("")).toBe(text);
      }),
    );
  });

  it("is read at once, however long it is", () => {
    const text = `${"x\n".repeat(1_000_000)}\u{1F600}`;
    expect(new CustomInputReader().push(customArguments(text))).toBe(text);
  });
});

describe("custom tools of a request", () => {
  it("are custom tools of Chat, in list, choice and history", () => {
    const { value, losses } = encode("openai-chat", RESPONSES_BODY);
    expect(value).toMatchObject({
      tools: [
        {
          type: "custom",
          custom: { name: "apply_patch", description: "Edits files", format: { type: "grammar", grammar: GRAMMAR } },
        },
        { type: "function", function: { name: "mcp__files__read" } },
        { type: "custom", custom: { name: "mcp__files__write" } },
      ],
      tool_choice: { type: "custom", custom: { name: "apply_patch" } },
      messages: [
        { role: "user" },
        { tool_calls: [{ id: "c1", type: "custom", custom: { name: "apply_patch", input: PATCH } }] },
        { role: "tool", tool_call_id: "c1", content: "Done" },
        { tool_calls: [{ id: "c2", type: "function", function: { name: "mcp__files__read" } }] },
        { role: "tool", tool_call_id: "c2" },
      ],
    });
    expect(losses.map(({ at }) => at)).toEqual(["tools.local_shell"]);
  });

  it("are custom tools of Responses, in list, choice and history", () => {
    expect(encode("openai-responses", CHAT_BODY, chat).value).toMatchObject({
      tools: [{ type: "custom", name: "apply_patch", format: { type: "grammar", ...GRAMMAR } }],
      tool_choice: { type: "allowed_tools", mode: "required", tools: [{ type: "custom", name: "apply_patch" }] },
      input: [
        { role: "user" },
        { type: "custom_tool_call", call_id: "c1", name: "apply_patch", input: PATCH },
        { type: "custom_tool_call_output", call_id: "c1", output: "Done" },
      ],
    });
  });

  it.each(["anthropic", "gemini"] as const)("are functions with one text for %s", (id) => {
    const { value, losses } = encode(id, RESPONSES_BODY);
    const text = JSON.stringify(value);
    expect(text).toContain(JSON.stringify({ input: PATCH }));
    expect(text).toContain('"required":["input"]');
    expect(text).toContain("start: begin hunk+ end");
    expect(text).toContain('"mcp__files__read"');
    expect(text).not.toContain("namespace");
    expect(losses).toContainEqual(expect.objectContaining({ at: "tools.apply_patch.format", what: "approximated" }));
  });

  it("are functions for a Chat host that has functions only", () => {
    const { value, aliases } = encode("openai-chat", RESPONSES_BODY, responses, { lacksCustomTools: true });
    expect(JSON.stringify(value)).not.toContain('"custom"');
    expect(value).toMatchObject({ tool_choice: { type: "function", function: { name: "apply_patch" } } });
    expect(aliases?.get("apply_patch")).toEqual({ name: "apply_patch", custom: true });
  });

  it("do not get the name of another tool by their namespace", () => {
    const own = { type: "function", name: "mcp__files__read", parameters: { type: "object" } };
    const { value, aliases } = encode("anthropic", {
      ...RESPONSES_BODY,
      tools: [...(RESPONSES_BODY.tools as Json[]), own],
    });
    const names = (value.tools as JsonObject[]).map(({ name }) => name as string);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain("mcp__files__read");
    expect(aliases?.get("mcp__files__read")).toBeUndefined();
  });
});

describe("a body of a host's own dialect that the host does not take whole", () => {
  const quirks = { lacksCustomTools: true };

  it("has functions instead of custom tools over Chat, and its other members", () => {
    const body = {
      ...CHAT_BODY,
      logit_bias: { "50256": -100 },
      tool_choice: { type: "custom", custom: { name: "apply_patch" } },
    };
    const { value, aliases, losses } = encode("openai-chat", body, chat, quirks);
    expect(JSON.stringify(value)).not.toContain('"custom"');
    expect(value).toMatchObject({
      logit_bias: { "50256": -100 },
      messages: [
        { role: "user" },
        {
          tool_calls: [
            { id: "c1", type: "function", function: { name: "apply_patch", arguments: customArguments(PATCH) } },
          ],
        },
        { role: "tool", tool_call_id: "c1", content: "Done" },
      ],
      tools: [{ type: "function", function: { name: "apply_patch", parameters: { required: ["input"] } } }],
      tool_choice: { type: "function", function: { name: "apply_patch" } },
    });
    expect(aliases?.get("apply_patch")).toEqual({ name: "apply_patch", custom: true });
    expect(losses).toEqual([expect.objectContaining({ at: "tools.apply_patch.format" })]);
  });

  it("has functions instead of custom tools over Responses, and its other members", () => {
    const body = {
      ...RESPONSES_BODY,
      truncation: "auto",
      tools: [...(RESPONSES_BODY.tools as Json[]), { type: "web_search" }],
    };
    const { value, aliases } = encode("openai-responses", body, responses, quirks);
    expect(JSON.stringify(value)).not.toMatch(/"custom(_tool_call(_output)?)?"/);
    expect(value).toMatchObject({
      truncation: "auto",
      input: [
        { role: "user" },
        { type: "function_call", call_id: "c1", name: "apply_patch", arguments: customArguments(PATCH) },
        { type: "function_call_output", call_id: "c1", output: "Done" },
        { type: "function_call", call_id: "c2", name: "mcp__files__read", arguments: '{"path":"a"}' },
        { type: "function_call_output", call_id: "c2" },
      ],
      tools: [
        { type: "function", name: "apply_patch" },
        { type: "function", name: "mcp__files__read", parameters: { type: "object" } },
        { type: "function", name: "mcp__files__write" },
        { type: "local_shell" },
        { type: "web_search" },
      ],
      tool_choice: { type: "function", name: "apply_patch" },
    });
    expect(JSON.stringify(value)).not.toContain("namespace");
    expect(aliases).toEqual(
      new Map([
        ["apply_patch", { name: "apply_patch", custom: true }],
        ["mcp__files__read", { name: "read", namespace: "mcp__files" }],
        ["mcp__files__write", { name: "write", namespace: "mcp__files", custom: true }],
      ]),
    );
  });

  it("has functions instead of namespaces over Responses, beside tools with names of their own", () => {
    const long = { type: "function", name: `a.${"x".repeat(90)}`, parameters: { type: "object" }, strict: true, x: 1 };
    const own = { type: "function", name: "mcp__files__read", parameters: { type: "object" } };
    const group = (RESPONSES_BODY.tools as JsonObject[])[1]!;
    const tools = [
      { ...group, tools: [{ type: "function", name: "read", parameters: { type: "object" } }] },
      long,
      own,
    ];
    const { value, aliases } = encode("openai-responses", { model: "m", input: "go", tools }, responses, quirks);
    const [first, ...others] = value.tools as JsonObject[];
    const chosen = { ...RESPONSES_BODY, tool_choice: { type: "function", name: "read", namespace: "mcp__files" } };
    expect(encode("openai-responses", chosen, responses, quirks).value.tool_choice).toEqual({
      type: "function",
      name: "mcp__files__read",
    });
    expect(others).toEqual([long, own]);
    expect(first).toMatchObject({ type: "function", name: expect.stringMatching(/^mcp__files__read_+[0-9a-f]{8}$/) });
    expect([...aliases!]).toEqual([[first!.name, { name: "read", namespace: "mcp__files" }]]);
  });

  it("stays as it is without them", () => {
    for (const [surface, id] of [
      [chat, "openai-chat"],
      [responses, "openai-responses"],
    ] as const) {
      const { tools: _, tool_choice: __, ...body } = surface === chat ? CHAT_BODY : RESPONSES_BODY;
      const plain = { ...body, ...(surface === chat ? { messages: [] } : { input: "go" }), tool_choice: "auto", x: 1 };
      expect(encode(id, plain, surface, quirks)).toEqual({ value: plain, losses: [] });
    }
  });
});

describe("a tool choice", () => {
  it.each(["openai-chat", "anthropic", "gemini"] as const)("never names a tool that %s does not get", (id) => {
    const body = (choice: Json): JsonObject => ({ ...RESPONSES_BODY, input: "go", tool_choice: choice });
    const tools = [
      { type: "local_shell" },
      { type: "mcp", server_label: "s", name: "gone" },
      { type: "function", name: "read", namespace: "mcp__files" },
    ];
    const allowed = encode(id, body({ type: "allowed_tools", mode: "required", tools }));
    expect(JSON.stringify(allowed.value)).not.toContain("gone");
    expect(allowed.losses).toContainEqual(expect.objectContaining({ at: "tool_choice", what: "dropped" }));
    const named = encode(id, body({ type: "function", name: "gone" }));
    expect(JSON.stringify(named.value)).not.toContain("gone");
    expect(named.losses).toContainEqual(expect.objectContaining({ at: "tool_choice", what: "dropped" }));
    const none = encode(id, body({ type: "allowed_tools", mode: "auto", tools: tools.slice(0, 2) }));
    expect(JSON.stringify(none.value)).toMatch(/"none"|"NONE"/);
  });

  describe.each<[string, Dialect, object]>([
    ["anthropic", "anthropic", {}],
    ["a Chat host that has functions only", "openai-chat", { lacksCustomTools: true }],
  ])("of some tools, at %s", (_, id, quirks) => {
    const PATCH_TOOL = { type: "custom", name: "apply_patch" };
    const READ = { type: "function", name: "read", namespace: "mcp__files" };
    const choose = (surface: typeof responses, mode: string, ...tools: JsonObject[]) => {
      const chatTools = tools.map(({ type, name, namespace }): JsonObject => {
        const named = { name: namespace === undefined ? name! : `${namespace as string}__${name as string}` };
        return { type: type!, [type as string]: named };
      });
      const functions = ["mcp__files__read", "mcp__files__write"].map((name) => ({
        type: "function",
        function: { name },
      }));
      return surface === responses
        ? encode(id, { ...RESPONSES_BODY, tool_choice: { type: "allowed_tools", mode, tools } }, responses, quirks)
        : encode(
            id,
            {
              ...CHAT_BODY,
              tools: [...(CHAT_BODY.tools as Json[]), ...functions],
              tool_choice: { type: "allowed_tools", allowed_tools: { mode, tools: chatTools } },
            },
            chat,
            quirks,
          );
    };
    const sentNames = ({ tools }: JsonObject): Json[] =>
      ((tools ?? []) as { name?: string; function?: { name: string } }[]).map(
        (tool) => tool.function?.name ?? tool.name!,
      );
    const isRestriction = { at: "tool_choice", what: "approximated" };

    it.each([
      ["Responses", responses],
      ["Chat", chat],
    ])("from %s sends these tools only, and says so", (_name, surface) => {
      const auto = choose(surface, "auto", READ);
      expect(sentNames(auto.value)).toEqual(["mcp__files__read"]);
      expect(JSON.stringify(auto.value.tool_choice)).toMatch(/"auto"/);
      expect(auto.losses).toContainEqual(expect.objectContaining(isRestriction));
      const required = choose(surface, "required", READ, PATCH_TOOL);
      expect(sentNames(required.value)).toEqual(["apply_patch", "mcp__files__read"]);
      expect(JSON.stringify(required.value.tool_choice)).toMatch(/"any"|"required"/);
      expect(required.aliases?.get("apply_patch")).toMatchObject({ custom: true });
    });

    it.each([
      ["Responses", responses],
      ["Chat", chat],
    ])("from %s forces the only tool that is required, with all tools sent", (_name, surface) => {
      const { value, losses } = choose(surface, "required", READ);
      expect(sentNames(value)).toHaveLength(3);
      expect(JSON.stringify(value.tool_choice)).toContain('"mcp__files__read"');
      expect(losses).not.toContainEqual(expect.objectContaining(isRestriction));
    });

    it("is no restriction if all tools are allowed", () => {
      const { value, losses } = choose(responses, "auto", PATCH_TOOL, READ, { ...READ, name: "write" });
      expect(sentNames(value)).toHaveLength(3);
      expect(losses).not.toContainEqual(expect.objectContaining(isRestriction));
    });
  });

  it("of some tools is a list of names at gemini, with all tools sent", () => {
    const tools = [
      { type: "custom", name: "apply_patch" },
      { type: "function", name: "write", namespace: "mcp__files" },
    ];
    for (const mode of ["auto", "required"]) {
      const { value } = encode("gemini", { ...RESPONSES_BODY, tool_choice: { type: "allowed_tools", mode, tools } });
      expect(value).toMatchObject({
        tools: [{ functionDeclarations: [{}, {}, {}] }],
        toolConfig: {
          functionCallingConfig: {
            mode: mode === "auto" ? "VALIDATED" : "ANY",
            allowedFunctionNames: ["apply_patch", "mcp__files__write"],
          },
        },
      });
    }
  });

  it("can name a tool that the provider runs itself", () => {
    const search = { type: "web_search_20250305", name: "web_search" };
    const request = DIALECTS.native.decodeRequest({
      model: "m",
      input: "go",
      tools: [{ type: "provider", native: { dialect: "anthropic", item: search } }],
      tool_choice: { name: "web_search" },
    });
    const { value } = DIALECTS.anthropic.encodeRequest(request, { dialect: "anthropic", model: "m" });
    expect(value.tool_choice).toEqual({ type: "tool", name: "web_search" });
  });
});

describe("a call of a custom tool", () => {
  const answer = (name: string, args: string): ModelResponse => ({
    id: "a",
    model: "m",
    messages: [{ role: "assistant", blocks: [{ kind: "tool_call", id: "c1", name, arguments: args }] }],
    finish: { reason: "tool_calls" },
    usage: {},
  });
  const reply = { created: 1, id: "resp_1", request: chat.decodeRequest(CHAT_BODY) };
  /** An answer whose arguments arrive in pieces of two characters. */
  const inPieces = (events: StreamEvent[]): StreamEvent[] =>
    events.flatMap((event): StreamEvent[] =>
      event.type === "delta" ? (event.text.match(/[^]{1,2}/g) ?? []).map((text) => ({ ...event, text })) : [event],
    );
  const cases: [string, string, JsonObject][] = [
    ["apply_patch", "a function", { type: "custom_tool_call", name: "apply_patch", input: PATCH }],
    [
      "mcp__files__write",
      "a namespace",
      { type: "custom_tool_call", name: "write", namespace: "mcp__files", input: PATCH },
    ],
  ];

  it.each(cases)("%s comes back from %s as the client knows it, whole and streamed", (name, _, item) => {
    const { aliases } = encode("anthropic", RESPONSES_BODY);
    const received = answer(name, JSON.stringify({ input: PATCH, more: 1 }));
    const whole = responses.encodeResponse(restoreResponse(received, aliases), reply);
    expect(whole.output).toEqual([expect.objectContaining({ ...item, call_id: "c1" })]);
    const encoder = responses.encodeStream(reply);
    const text = inPieces(unfold(received))
      .map((event) => encoder.push(restoreEvent(event, aliases!)))
      .join("");
    const events = decodeSse(encodeUtf8(text)).map(({ data }) => JSON.parse(data!) as Record<string, never>);
    const deltas = events.filter(({ type }) => type === "response.custom_tool_call_input.delta");
    expect(deltas.length).toBeGreaterThan(1);
    expect(deltas.map(({ delta }) => delta).join("")).toBe(PATCH);
    expect(events.find(({ type }) => type === "response.custom_tool_call_input.done")).toMatchObject({ input: PATCH });
    expect(events.find(({ type }) => type === "response.output_item.added")).toMatchObject({
      item: { ...item, input: "" },
    });
    expect(events.find(({ type }) => type === "response.output_item.done")).toMatchObject({ item });
    expect(events.at(-1)).toMatchObject({ response: { output: [item] } });
  });

  it("is a function's call for a Chat client that declares no such tool, whole and streamed", () => {
    const received = answer("apply_patch", JSON.stringify({ input: PATCH }));
    received.messages = received.messages.map((message) => ({
      ...message,
      blocks: message.blocks.map((block) => (block.kind === "tool_call" ? { ...block, custom: true } : block)),
    }));
    const called = { name: "apply_patch", arguments: JSON.stringify({ input: PATCH }) };
    const unaware = { created: 1, id: "resp_1", request: chat.decodeRequest({ ...CHAT_BODY, tools: [] }) };
    expect(chat.encodeResponse(received, unaware)).toMatchObject({
      choices: [{ message: { tool_calls: [{ id: "c1", type: "function", function: called }] } }],
    });
    const encoder = chat.encodeStream(unaware);
    const text = unfold(received)
      .map((event) => encoder.push(event))
      .join("");
    expect(text).toContain('"type":"function"');
    expect(text).not.toContain("custom");
  });

  it("comes back over Chat as a custom call, whole and streamed", () => {
    const { aliases } = encode("gemini", CHAT_BODY, chat);
    const received = answer("apply_patch", JSON.stringify({ input: PATCH }));
    const custom = { name: "apply_patch", input: PATCH };
    expect(chat.encodeResponse(restoreResponse(received, aliases), reply)).toMatchObject({
      choices: [{ message: { tool_calls: [{ id: "c1", type: "custom", custom }] } }],
    });
    const encoder = chat.encodeStream(reply);
    const text = inPieces(unfold(received))
      .map((event) => encoder.push(restoreEvent(event, aliases!)))
      .join("");
    type Chunk = { choices: { delta: { tool_calls?: { id?: string; type?: string; custom: Body }[] } }[] };
    type Body = { name?: string; input: string };
    const calls = decodeSse(encodeUtf8(text))
      .flatMap(({ data = "" }) => (data === "[DONE]" ? [] : (JSON.parse(data) as Chunk).choices))
      .flatMap(({ delta }) => delta.tool_calls ?? []);
    expect(calls[0]).toEqual({ index: 0, id: "c1", type: "custom", custom: { name: "apply_patch", input: "" } });
    expect(calls.length).toBeGreaterThan(2);
    expect(calls.map((call) => call.custom.input).join("")).toBe(PATCH);
  });

  it.each<[string, string]>([
    [JSON.stringify({ patch: PATCH }), PATCH],
    [JSON.stringify({ patch: "" }), ""],
    [JSON.stringify({ patch: PATCH, more: "b" }), JSON.stringify({ patch: PATCH, more: "b" })],
    [JSON.stringify({ command: ["apply_patch", PATCH] }), JSON.stringify({ command: ["apply_patch", PATCH] })],
    [PATCH, PATCH],
  ])("with arguments of another form, %j, has the same input whole and streamed", (args, input) => {
    type Data = { type?: string; delta?: string; input?: string; item?: Json; choices?: Choice[] };
    type Choice = { delta: { tool_calls?: { custom: { input: string } }[] } };
    for (const [surface, body] of [
      [responses, RESPONSES_BODY],
      [chat, CHAT_BODY],
    ] as const) {
      const { aliases } = encode("anthropic", body, surface);
      const received = answer("apply_patch", args);
      const whole = restoreResponse(received, aliases);
      const block = whole.messages[0]!.blocks[0]!;
      expect(block).toMatchObject({ custom: true, arguments: customArguments(input) });
      expect(JSON.stringify(surface.encodeResponse(whole, reply))).toContain(`"input":${JSON.stringify(input)}`);
      for (let size = 1; size <= args.length; size++) {
        const encoder = surface.encodeStream(reply);
        const pieces = args.match(new RegExp(`[^]{1,${size}}`, "g"))!;
        const text = unfold(received)
          .flatMap((event) =>
            event.type === "delta" ? pieces.map((piece): StreamEvent => ({ ...event, text: piece })) : [event],
          )
          .map((event) => encoder.push(restoreEvent(event, aliases!)))
          .join("");
        const data = decodeSse(encodeUtf8(text)).flatMap(({ data = "" }) =>
          data === "[DONE]" ? [] : [JSON.parse(data) as Data],
        );
        const deltas =
          surface === responses
            ? data.flatMap(({ type, delta }) => (type === "response.custom_tool_call_input.delta" ? [delta!] : []))
            : data
                .flatMap(({ choices = [] }) => choices)
                .flatMap(({ delta }) => (delta.tool_calls ?? []).map(({ custom }) => custom.input));
        expect(deltas.join("")).toBe(input);
        if (surface === chat) continue;
        const done = data.find(({ type }) => type === "response.custom_tool_call_input.done");
        expect(done).toMatchObject({ input });
        expect(data.at(-1)).toMatchObject({ response: { output: [{ type: "custom_tool_call", input }] } });
      }
    }
  });

  it.each(["anthropic", "gemini", "openai-chat", "native"] as const)(
    "is one in a history that %s stored, whatever tools the next call has",
    (id) => {
      const { messages } = responses.decodeRequest(RESPONSES_BODY);
      const wire = DIALECTS[id];
      const { value } = wire.encodeMessages(messages, { dialect: id, model: "m" });
      const stored = decodeItems({ dialect: id, items: joinItems(value), calls: listPendingCalls(messages) });
      const back = responses.encodeMessages(stored, { dialect: "openai-responses", model: "m" });
      expect(back.value.slice(1)).toMatchObject([
        { type: "custom_tool_call", name: "apply_patch", input: PATCH },
        { type: "custom_tool_call_output", output: "Done" },
        { type: "function_call", namespace: "mcp__files", name: "read" },
        { type: "function_call_output", output: "text" },
      ]);
    },
  );
});

describe("outputs of tools that a client runs", () => {
  const call = { type: "shell_call", call_id: "s1", action: { commands: ["ls"] } };
  const output = { type: "shell_call_output", id: "sho_1", call_id: "s1", output: [{ stdout: "a.txt" }] };
  it.each<[string, JsonObject]>([
    ["local_shell", { type: "local_shell_call_output", id: "lso_1", call_id: "c", output: '{"stdout":"x"}' }],
    ["shell", output],
    ["apply_patch", { type: "apply_patch_call_output", id: "apo_1", call_id: "c", status: "completed", output: "x" }],
  ])("of %s are of the user, with and without an id", (_, item) => {
    const { id: _id, ...rest } = item;
    expect(responses.decodeMessages([item, rest]).map(({ role }) => role)).toEqual(["user", "user"]);
  });

  const history: JsonObject[] = [
    { role: "user", content: "go" },
    { type: "local_shell_call", id: "l", call_id: "c1", action: { type: "exec", command: ["ls"] } },
    { type: "local_shell_call_output", id: "lo", call_id: "c1", output: "from local_shell" },
    { type: "shell_call", id: "s", call_id: "c2", action: { commands: ["run shell"] } },
    { type: "shell_call_output", id: "so", call_id: "c2", output: [{ stdout: "from shell" }] },
    { type: "apply_patch_call", id: "a", call_id: "c3", operation: { type: "create_file", path: "a", diff: "+x" } },
    { type: "apply_patch_call_output", call_id: "c3", status: "completed", output: "from apply_patch" },
    { role: "assistant", content: "done" },
    { role: "user", content: "next" },
  ];

  it.each(["anthropic", "gemini", "openai-chat"] as const)("keep their authors in a history sent to %s", (id) => {
    const { value, losses } = encode(id, { model: "m", input: history });
    const sent = (value.messages ?? value.contents) as { role: string }[];
    const authorOf = (text: string): string[] =>
      sent.filter((message) => JSON.stringify(message).includes(text)).map(({ role }) => role);
    const assistant = id === "gemini" ? "model" : "assistant";
    for (const tool of ["local_shell", "shell", "apply_patch"]) expect(authorOf(`"from ${tool}"`)).toEqual(["user"]);
    expect(authorOf("run shell")).toEqual([assistant]);
    expect(authorOf("done")).toEqual([assistant]);
    for (const item of history.filter(({ type }) => type !== undefined))
      expect(losses).toContainEqual(expect.objectContaining({ at: item.type, what: "dropped" }));
  });

  it("are the same items back at Responses, also after a way through the native dialect", () => {
    const { messages } = responses.decodeRequest({ model: "m", input: history });
    const target = { dialect: "openai-responses", model: "m" } as const;
    expect(responses.encodeMessages(messages, target).value).toEqual(history);
    const passed = DIALECTS.native.encodeMessages(messages, { dialect: "native", model: "m" }).value;
    const back = responses.encodeMessages(DIALECTS.native.decodeMessages(passed), target).value;
    expect(back.filter((item) => isObject(item) && item.type !== undefined && item.type !== "message")).toEqual(
      history.filter(({ type }) => type !== undefined),
    );
  });

  it("are of the assistant if the provider ran the tool in a container", () => {
    const hosted = { ...call, environment: { type: "container_reference", container_id: "c" } };
    const local = { ...call, environment: { type: "local" } };
    expect(responses.decodeMessages([hosted, output]).map(({ role }) => role)).toEqual(["assistant", "assistant"]);
    expect(responses.decodeMessages([local, output]).map(({ role }) => role)).toEqual(["assistant", "user"]);
  });
});
