import { describe, expect, it } from "vitest";
import { fitToolName, restoreResponse } from "../../src/canonical/tool-names.ts";
import type { Dialect } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { recognizeCalls } from "../../src/dialects/recognize-calls.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";

const LONG = `mcp__server__${"x".repeat(140)}`;
const NAMES = ["get_weather", "files.read:v2", "1st", "größe", "a b", LONG, `${LONG}y`, "a-b"];
const TARGETS: [Dialect, RegExp][] = [
  ["openai-chat", /^[a-zA-Z0-9_-]{1,64}$/],
  ["openai-responses", /^[a-zA-Z0-9_-]{1,64}$/],
  ["anthropic", /^[a-zA-Z0-9_-]{1,128}$/],
  ["gemini", /^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$/],
];

/** A request of each surface with these tools, a call of each and its result. */
const REQUESTS: Record<string, (names: string[]) => JsonObject> = {
  "openai-chat": (names) => ({
    model: "m",
    messages: [
      { role: "user", content: "go" },
      {
        role: "assistant",
        content: null,
        tool_calls: names.map((name, i) => ({ id: `c${i}`, type: "function", function: { name, arguments: "{}" } })),
      },
      ...names.map((_, i) => ({ role: "tool", tool_call_id: `c${i}`, content: "ok" })),
    ],
    tools: names.map((name) => ({ type: "function", function: { name, parameters: { type: "object" } } })),
    tool_choice: { type: "function", function: { name: names.at(-1)! } },
  }),
  anthropic: (names) => ({
    model: "m",
    max_tokens: 9,
    messages: [
      { role: "user", content: "go" },
      { role: "assistant", content: names.map((name, i) => ({ type: "tool_use", id: `c${i}`, name, input: {} })) },
      { role: "user", content: names.map((_, i) => ({ type: "tool_result", tool_use_id: `c${i}`, content: "ok" })) },
    ],
    tools: names.map((name) => ({ name, input_schema: { type: "object" } })),
    tool_choice: { type: "tool", name: names.at(-1)! },
  }),
  gemini: (names) => ({
    contents: [
      { role: "user", parts: [{ text: "go" }] },
      { role: "model", parts: names.map((name) => ({ functionCall: { name, args: {} } })) },
      { role: "user", parts: names.map((name) => ({ functionResponse: { name, response: { result: "ok" } } })) },
    ],
    tools: [{ functionDeclarations: names.map((name) => ({ name })) }],
    toolConfig: { functionCallingConfig: { mode: "ANY", allowedFunctionNames: [names.at(-1)!] } },
  }),
};

/** All names of tools in a body: of the list, the choice, calls and results. */
function namesIn(body: Json): string[] {
  if (Array.isArray(body)) return body.flatMap(namesIn);
  if (typeof body !== "object" || body === null) return [];
  return Object.entries(body).flatMap(([member, value]) => {
    if (member === "name" && typeof value === "string") return [value];
    return member === "allowedFunctionNames" ? (value as string[]) : namesIn(value);
  });
}

describe("a fitted name", () => {
  it("is the name itself where the target accepts it", () => {
    expect(fitToolName("get_weather", DIALECTS.anthropic.tools)).toBe("get_weather");
    expect(fitToolName("files.read:v2", DIALECTS.gemini.tools)).toBe("files.read:v2");
  });

  it.each(TARGETS)("is one that %s accepts, is the same each time, and differs for different names", (id, pattern) => {
    const fitted = NAMES.map((name) => fitToolName(name, DIALECTS[id].tools));
    expect(fitted.filter((name) => !pattern.test(name))).toEqual([]);
    expect(new Set(fitted).size).toBe(NAMES.length);
    expect(NAMES.map((name) => fitToolName(name, DIALECTS[id].tools))).toEqual(fitted);
  });
});

describe.each(Object.keys(REQUESTS) as Dialect[])("tools of a request over %s", (surface) => {
  const request = DIALECTS[surface].decodeRequest(REQUESTS[surface]!(NAMES));

  it.each(TARGETS.filter(([id]) => id !== surface))("have names that %s accepts, in all places", (id, pattern) => {
    const { value, aliases } = DIALECTS[id].encodeRequest(request, { dialect: id, model: "m" });
    const names = namesIn(value);
    expect(names.filter((name) => !pattern.test(name))).toEqual([]);
    expect(new Set(names).size).toBe(NAMES.length);
    // The answer calls by the target's names.
    const calls = [...new Set(names)].map((name) => ({ kind: "tool_call", id: name, name, arguments: "{}" }) as const);
    const answer = { id: "a", model: "m", finish: { reason: "tool_calls" }, usage: {} } as const;
    const restored = restoreResponse({ ...answer, messages: [{ role: "assistant", blocks: calls }] }, aliases);
    expect(restored.messages.flatMap(({ blocks }) => blocks.map((block) => "name" in block && block.name))).toEqual(
      expect.arrayContaining(NAMES),
    );
  });

  it.each(TARGETS.filter(([id]) => id !== surface))("are recognized in a history that %s stored", (id) => {
    const wire = DIALECTS[id];
    const target = { dialect: id, model: "m" } as const;
    const stored = wire.decodeMessages(wire.encodeMessages(request.messages, target).value);
    const calls = recognizeCalls(stored, request.tools)
      .flatMap(({ blocks }) => blocks)
      .flatMap((block) => (block.kind === "tool_call" ? [block.name] : []));
    expect(calls).toEqual(NAMES);
  });

  it("keep their names on the wire that they came over", () => {
    const { value, aliases } = DIALECTS[surface].encodeRequest(request, { dialect: surface, model: "m" });
    expect(new Set(namesIn(value))).toEqual(new Set(NAMES));
    expect(aliases).toBeUndefined();
  });
});
