import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { moveResultsToCalls } from "../../src/canonical/result-order.ts";
import type { Block, Message } from "../../src/canonical/types.ts";
import type { WireDialect } from "../../src/dialects/dialect.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { isObject, type Json, type JsonObject } from "../../src/wire/json.ts";

const IMAGE = "data:image/png;base64,aGk=";

/** One step of a conversation, as the wires below write it. */
type Step =
  | { call: string }
  | { result: string; image?: boolean }
  | { text: string; role: "user" | "developer" | "system" | "assistant" };

/** Responses has every step as an item of its own, in any order. */
const toResponses = (steps: readonly Step[]): Json[] =>
  steps.map((step): Json => {
    if ("call" in step)
      return { type: "function_call", call_id: step.call, name: `tool_${step.call}`, arguments: "{}" };
    if ("text" in step) return { type: "message", role: step.role, content: step.text };
    const output = step.image ? [{ type: "input_image", image_url: IMAGE }] : `result ${step.result}`;
    return { type: "function_call_output", call_id: step.result, output };
  });

/** Chat: consecutive calls are one message. */
const toChat = (steps: readonly Step[]): Json[] => {
  const items: JsonObject[] = [];
  for (const step of steps) {
    if ("text" in step) items.push({ role: step.role, content: step.text });
    else if ("result" in step)
      items.push({
        role: "tool",
        tool_call_id: step.result,
        content: step.image ? [{ type: "image_url", image_url: { url: IMAGE } }] : `result ${step.result}`,
      });
    else {
      const call = { id: step.call, type: "function", function: { name: `tool_${step.call}`, arguments: "{}" } };
      const before = items.at(-1)?.tool_calls as Json[] | undefined;
      if (before === undefined) items.push({ role: "assistant", content: null, tool_calls: [call] });
      else before.push(call);
    }
  }
  return items;
};

/** Anthropic and Gemini: a message of the user has results and texts in any order. */
const toAnthropic = (steps: readonly Step[]): Json[] =>
  group(steps).map(([role, of]) => ({
    role,
    content: of.map((step): Json => {
      if ("call" in step) return { type: "tool_use", id: step.call, name: `tool_${step.call}`, input: {} };
      if ("text" in step) return { type: "text", text: step.text };
      const source = { type: "base64", media_type: "image/png", data: "aGk=" };
      return {
        type: "tool_result",
        tool_use_id: step.result,
        content: step.image ? [{ type: "image", source }] : `result ${step.result}`,
      };
    }),
  }));

const toGemini = (steps: readonly Step[]): Json[] =>
  group(steps).map(([role, of]) => ({
    role: role === "assistant" ? "model" : "user",
    parts: of.map((step): Json => {
      if ("call" in step) return { functionCall: { id: step.call, name: `tool_${step.call}`, args: {} } };
      if ("text" in step) return { text: step.text };
      const parts = step.image ? { parts: [{ inlineData: { mimeType: "image/png", data: "aGk=" } }] } : {};
      const response = { result: `result ${step.result}` };
      return { functionResponse: { id: step.result, name: `tool_${step.result}`, response, ...parts } };
    }),
  }));

function group(steps: readonly Step[]): ["user" | "assistant", Step[]][] {
  const groups: ["user" | "assistant", Step[]][] = [];
  for (const step of steps) {
    const role = "call" in step || ("text" in step && step.role === "assistant") ? "assistant" : "user";
    const last = groups.at(-1);
    if (last?.[0] === role) last[1].push(step);
    else groups.push([role, [step]]);
  }
  return groups;
}

const SOURCES: [WireDialect, (steps: readonly Step[]) => Json[]][] = [
  [DIALECTS["openai-responses"], toResponses],
  [DIALECTS["openai-chat"], toChat],
  [DIALECTS.anthropic, toAnthropic],
  [DIALECTS.gemini, toGemini],
];

/** Fails if the provider of the wire would refuse the list: every result directly behind its calls, nothing between. */
const CHECKS: Record<"openai-chat" | "anthropic" | "gemini", (items: readonly JsonObject[]) => void> = {
  "openai-chat": (items) => {
    const open = new Set<Json>();
    for (const item of items) {
      if (item.role === "tool") expect(open.delete(item.tool_call_id!)).toBe(true);
      else expect([...open]).toEqual([]);
      for (const { id } of (item.tool_calls ?? []) as JsonObject[]) open.add(id!);
    }
    expect([...open]).toEqual([]);
  },
  anthropic: (items) => {
    // The API joins consecutive messages of one role.
    const joined: JsonObject[] = [];
    for (const { role, content } of items) {
      const blocks = typeof content === "string" ? [{ type: "text", text: content }] : (content as JsonObject[]);
      const last = joined.at(-1);
      if (last?.role === role) (last!.content as Json[]).push(...blocks);
      else joined.push({ role: role!, content: [...blocks] });
    }
    let open: Json[] = [];
    for (const { role, content } of joined) {
      const blocks = content as JsonObject[];
      if (role === "assistant") {
        expect(open).toEqual([]);
        open = blocks.flatMap(({ type, id }) => (type === "tool_use" ? [id!] : []));
        continue;
      }
      const leading = blocks.findIndex(({ type }) => type !== "tool_result");
      const results = leading < 0 ? blocks : blocks.slice(0, leading);
      expectSame(
        results.map((block) => block.tool_use_id!),
        open,
      );
      expect(blocks.slice(results.length).filter(({ type }) => type === "tool_result")).toEqual([]);
      open = [];
    }
    expect(open).toEqual([]);
  },
  gemini: (items) => {
    let open: Json[] = [];
    for (const { parts } of items) {
      const all = parts as JsonObject[];
      const namesOf = (member: string): Json[] =>
        all.flatMap((part) => (isObject(part[member]) ? [part[member].name!] : []));
      const results = namesOf("functionResponse");
      expectSame(results, open);
      if (results.length > 0) expect(all.filter((part) => part.text !== undefined)).toEqual([]);
      open = namesOf("functionCall");
    }
    expect(open).toEqual([]);
  },
};

/** The same values in any order. */
function expectSame(values: readonly Json[], expected: readonly Json[]): void {
  expect(values).toHaveLength(expected.length);
  expect(new Set(values)).toEqual(new Set(expected));
}

const TARGETS = Object.keys(CHECKS) as (keyof typeof CHECKS)[];
const withoutNative = (messages: readonly Message[]): Message[] => messages.map(({ native: _, ...message }) => message);

/** Encodes and checks; returns the texts that are no results, in their order. */
function encodeFor(to: keyof typeof CHECKS, messages: readonly Message[]): string[] {
  const { value } = DIALECTS[to].encodeMessages(messages, { dialect: to, model: "m" });
  CHECKS[to](value as JsonObject[]);
  return JSON.stringify(value).match(/between \d+/g) ?? [];
}

describe("an item between a call and its result", () => {
  const between = (n: number, role: "user" | "developer" | "system"): Step => ({ text: `between ${n}`, role });
  const cases: [name: string, steps: Step[]][] = [
    ["before the result", [{ call: "a" }, between(1, "user"), { result: "a" }]],
    ["between two results", [{ call: "a" }, { call: "b" }, { result: "b" }, between(1, "developer"), { result: "a" }]],
    ["between two calls", [{ call: "a" }, between(1, "system"), { call: "b" }, { result: "a" }, { result: "b" }]],
    [
      "behind an image result",
      [{ call: "a" }, { call: "b" }, { result: "a", image: true }, between(1, "user"), { result: "b" }],
    ],
    [
      "behind words of the assistant",
      [{ call: "a" }, { call: "b" }, { result: "a" }, { text: "between 1", role: "assistant" }, { result: "b" }],
    ],
    [
      "several times",
      [
        { call: "a" },
        between(1, "user"),
        { call: "b" },
        { call: "c" },
        between(2, "developer"),
        { result: "c", image: true },
        between(3, "system"),
        { result: "a" },
        between(4, "user"),
        { result: "b" },
        between(5, "user"),
      ],
    ],
  ];
  const start: Step = { text: "Go.", role: "user" };
  it.each(
    cases.flatMap(([name, steps]) =>
      SOURCES.flatMap(([from, toItems]) => TARGETS.map((to) => [name, from.id, to, from, toItems, steps] as const)),
    ),
  )("an item (%s) from %s has a place that %s accepts", (_, __, to, from, toItems, steps) => {
    const messages = withoutNative(from.decodeMessages(toItems([start, ...steps])));
    const expected = steps.flatMap((step) => ("text" in step ? [step.text] : []));
    expect(encodeFor(to, messages)).toEqual(expected);
  });

  it("items in any order between calls and results have places that every provider accepts", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("call" as const) }),
      fc.record({ kind: fc.constant("result" as const), pick: fc.nat(), image: fc.boolean() }),
      fc.record({ kind: fc.constant("text" as const), role: fc.constantFrom("user", "developer", "system") }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 14 }), fc.nat(), (drawn, source) => {
        const steps: Step[] = [start];
        const open: string[] = [];
        let calls = 0;
        for (const one of drawn) {
          if (one.kind === "call") steps.push({ call: open[open.push(`c${calls++}`) - 1]! });
          else if (one.kind === "text") steps.push(between(steps.length, one.role));
          else if (open.length > 0)
            steps.push({ result: open.splice(one.pick % open.length, 1)[0]!, image: one.image });
        }
        for (const id of open) steps.push({ result: id });
        const expected = steps.flatMap((one) => ("text" in one && one !== start ? [one.text] : []));
        const [from, toItems] = SOURCES[source % SOURCES.length]!;
        const messages = withoutNative(from.decodeMessages(toItems(steps)));
        for (const to of TARGETS) expect(encodeFor(to, messages)).toEqual(expected);
      }),
      { numRuns: 400 },
    );
  });

  it("an item follows the results also if the answer with the calls has its own bytes", () => {
    for (const [from, toItems] of SOURCES) {
      const to = TARGETS.find((id) => id === from.id);
      if (to === undefined) continue;
      const call: Step[] = [start, { call: "a" }, { call: "b" }];
      const next = toResponses([between(1, "user"), { result: "b" }, between(2, "developer"), { result: "a" }]);
      const messages = [...from.decodeMessages(toItems(call)), ...DIALECTS["openai-responses"].decodeMessages(next)];
      expect(encodeFor(to, messages)).toEqual(["between 1", "between 2"]);
      const { value } = DIALECTS[to].encodeMessages(messages, { dialect: to, model: "m" });
      expect(value.slice(0, 2)).toEqual(toItems(call));
    }
  });
});

describe("moveResultsToCalls", () => {
  const call = (id: string): Block => ({ kind: "tool_call", id, name: "f", arguments: "{}" });
  const result = (id: string, text: string): Block => ({ kind: "tool_result", id, content: [{ kind: "text", text }] });
  const model = (...blocks: Block[]): Message => ({ role: "assistant", blocks });
  const user = (...blocks: Block[]): Message => ({ role: "user", blocks });
  const text: Block = { kind: "text", text: "wait" };

  it("moveResultsToCalls returns the same list if nothing has to move", () => {
    const messages = [user(text), model(call("a"), call("b")), user(result("a", "1")), user(result("b", "2"), text)];
    expect(moveResultsToCalls(messages)).toBe(messages);
    const orphan = [user(text), user(result("a", "1")), model(text), user(text, result("b", "2"))];
    expect(moveResultsToCalls(orphan)).toBe(orphan);
  });

  it("moveResultsToCalls gives results to the newest calls of their id, in order", () => {
    const messages = [
      model(call("a")),
      user(text),
      model(call("a")),
      user(text),
      model(call("a")),
      user(text, result("a", "1")),
      user(result("a", "2")),
    ];
    expect(moveResultsToCalls(messages)).toEqual([
      model(call("a")),
      user(text),
      model(call("a")),
      user(result("a", "1")),
      user(text),
      model(call("a")),
      user(result("a", "2")),
      user(text),
    ]);
  });

  it("moveResultsToCalls divides a message only if a later one has another result", () => {
    const mixed = user(text, result("a", "1"));
    expect(moveResultsToCalls([model(call("a"), call("b")), mixed, user(result("b", "2"))])).toEqual([
      model(call("a"), call("b")),
      user(result("a", "1")),
      user(result("b", "2")),
      user(text),
    ]);
  });
});
