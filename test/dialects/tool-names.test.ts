import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fitToolName, restoreResponse, type ToolRules } from "../../src/canonical/tool-names.ts";
import type { Dialect, Message } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { decodeItems } from "../../src/session/history/decode.ts";
import { listPendingCalls } from "../../src/session/turns.ts";
import { joinItems, type Json, type JsonObject } from "../../src/wire/json.ts";

const LONG = `mcp__server__${"x".repeat(140)}`;
const NAMES = ["get_weather", "files.read:v2", "1st", "größe", "a b", LONG, `${LONG}y`, "a-b"];
const TARGETS: [Dialect, RegExp][] = [
  ["openai-chat", /^[a-zA-Z0-9_-]{1,64}$/],
  ["openai-responses", /^[a-zA-Z0-9_-]{1,64}$/],
  ["anthropic", /^[a-zA-Z0-9_-]{1,128}$/],
  ["gemini", /^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$/],
];

const rulesOf = (id: Dialect): ToolRules => ({
  name: TARGETS.find(([target]) => target === id)![1],
  maxName: id === "anthropic" ? 128 : 64,
});

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
  it("a fitted name is the name itself if the target accepts it", () => {
    expect(fitToolName("get_weather", rulesOf("anthropic"))).toBe("get_weather");
    expect(fitToolName("files.read:v2", rulesOf("gemini"))).toBe("files.read:v2");
  });

  it.each(TARGETS)(
    "a fitted name is accepted by %s, is the same each time, and differs for different names",
    (id, pattern) => {
      const fitted = NAMES.map((name) => fitToolName(name, rulesOf(id)));
      expect(fitted.filter((name) => !pattern.test(name))).toEqual([]);
      expect(new Set(fitted).size).toBe(NAMES.length);
      expect(NAMES.map((name) => fitToolName(name, rulesOf(id)))).toEqual(fitted);
    },
  );
});

describe.each(Object.keys(REQUESTS) as Dialect[])("tools of a request over %s", (surface) => {
  const request = DIALECTS[surface].decodeRequest(REQUESTS[surface]!(NAMES));

  it.each(TARGETS.filter(([id]) => id !== surface))(
    "tools of a request have names that %s accepts, in all places",
    (id, pattern) => {
      const { value, aliases } = DIALECTS[id].encodeRequest(request, { dialect: id, model: "m" });
      const names = namesIn(value);
      expect(names.filter((name) => !pattern.test(name))).toEqual([]);
      expect(new Set(names).size).toBe(NAMES.length);
      // The answer calls by the target's names.
      const calls = [...new Set(names)].map(
        (name) => ({ kind: "tool_call", id: name, name, arguments: "{}" }) as const,
      );
      const answer = { id: "a", model: "m", finish: { reason: "tool_calls" }, usage: {} } as const;
      const restored = restoreResponse({ ...answer, messages: [{ role: "assistant", blocks: calls }] }, aliases);
      expect(restored.messages.flatMap(({ blocks }) => blocks.map((block) => "name" in block && block.name))).toEqual(
        expect.arrayContaining(NAMES),
      );
    },
  );

  it.each(TARGETS.filter(([id]) => id !== surface))(
    "tools of a request have their own names in a history that %s stored",
    (id) => {
      const wire = DIALECTS[id];
      const target = { dialect: id, model: "m" } as const;
      const reply = request.messages.filter(({ role }) => role === "assistant");
      const items = joinItems(wire.encodeMessages(reply, target).value);
      const calls = listPendingCalls(reply);
      expect(listPendingCalls(decodeItems({ dialect: id, items, calls })).map(({ name }) => name)).toEqual(NAMES);
    },
  );

  it("tools of a request have their own names on the wire that they came over", () => {
    const { value, aliases } = DIALECTS[surface].encodeRequest(request, { dialect: surface, model: "m" });
    expect(new Set(namesIn(value))).toEqual(new Set(NAMES));
    expect(aliases).toBeUndefined();
  });
});

describe("names that are alike", () => {
  const part = fc.constantFrom(
    "a",
    "b",
    "a__b",
    "a.b",
    "a_b",
    "é",
    "\u{1F600}",
    "\uD83D",
    "x".repeat(63),
    "x".repeat(64),
  );
  const name = fc.oneof(
    part,
    fc.tuple(part, part).map(([a, b]) => `${a}__${b}`),
    fc.string({ minLength: 1, maxLength: 140 }),
  );
  const tool = fc.record({ name, namespace: fc.option(part, { nil: undefined }) });
  type Named = { name: string; namespace: string | undefined };
  const keyOf = (one: { name: string; namespace?: string | undefined }): string =>
    JSON.stringify([one.name, one.namespace ?? null]);
  /** The tools, and others that have the names that a target gives to these. */
  const withFitted = (tools: Named[], id: Dialect): Named[] => {
    const all = [
      ...tools,
      ...tools.map((one) => ({
        name: fitToolName(one.namespace === undefined ? one.name : `${one.namespace}__${one.name}`, rulesOf(id)),
        namespace: undefined,
      })),
    ];
    return [...new Map(all.map((one) => [keyOf(one), one])).values()];
  };
  const toResponses = (tools: readonly Named[]): JsonObject => {
    const named = tools.map(({ name: own }): Json => ({ type: "function", name: own, parameters: { type: "object" } }));
    return {
      model: "m",
      input: [
        { role: "user", content: "go" },
        ...tools.map(({ name: own, namespace }, i) => ({
          type: "function_call",
          call_id: `c${i}`,
          name: own,
          arguments: "{}",
          ...(namespace !== undefined && { namespace }),
        })),
        ...tools.map((_, i) => ({ type: "function_call_output", call_id: `c${i}`, output: "ok" })),
      ],
      tools: tools.map(({ namespace }, i): Json =>
        namespace === undefined
          ? named[i]!
          : { type: "namespace", name: namespace, description: "", tools: [named[i]!] },
      ),
    };
  };

  it.each(TARGETS.filter(([id]) => id !== "openai-responses"))(
    "names that are alike stay different at %s, in tools and history, and are restored",
    (id, pattern) => {
      fc.assert(
        fc.property(fc.array(tool, { minLength: 1, maxLength: 8 }), (some) => {
          const tools = withFitted(some, id);
          const request = DIALECTS["openai-responses"].decodeRequest(toResponses(tools));
          const target = { dialect: id, model: "m" } as const;
          const { value, aliases } = DIALECTS[id].encodeRequest(request, target);
          const names = namesIn(value.tools!);
          expect(names.filter((one) => !pattern.test(one))).toEqual([]);
          expect(new Set(names).size).toBe(tools.length);
          const history = namesIn(value[id === "gemini" ? "contents" : "messages"]!);
          expect(history.slice(0, tools.length)).toEqual(names);
          const called: Message = {
            role: "assistant",
            blocks: names.map((one, i) => ({ kind: "tool_call", id: `c${i}`, name: one, arguments: "{}" })),
          };
          const answer = { id: "a", model: "m", finish: { reason: "tool_calls" }, usage: {} } as const;
          const { messages } = restoreResponse({ ...answer, messages: [called] }, aliases);
          expect(listPendingCalls(messages).map(keyOf)).toEqual(tools.map(keyOf));
          // What the session stores is the answer in the provider's items.
          const items = joinItems(DIALECTS[id].encodeMessages([called], target).value);
          const stored = decodeItems({ dialect: id, items, calls: listPendingCalls(messages) });
          expect(listPendingCalls(stored).map(keyOf)).toEqual(tools.map(keyOf));
        }),
      );
    },
  );
});

describe("names in a history", () => {
  it.each(["openai-chat", "openai-responses"] as const)(
    "names in a history are those of the tools that came over %s",
    (id) => {
      const call = { kind: "tool_call", id: "c1", name: LONG, arguments: "{}" } as const;
      const history: Message[] = [{ role: "assistant", blocks: [call] }];
      const tools = [{ kind: "function", name: LONG }] as const;
      const target = { dialect: id, model: "m" } as const;
      expect(namesIn(DIALECTS[id].encodeMessages(history, target, tools).value)).toEqual([LONG]);
      expect(namesIn(DIALECTS[id].encodeMessages(history, target).value)).toEqual([fitToolName(LONG, rulesOf(id))]);
    },
  );
});
