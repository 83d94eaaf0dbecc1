import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Lifetime } from "../../src/canonical/cache-marks.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { selectMarks } from "../../src/dialects/mark-limit.ts";
import { encodeBody, spliceBody } from "../../src/gateway/request-body.ts";
import type { Context } from "../../src/session/session.ts";
import type { WireItems } from "../../src/session/turns.ts";
import { SURFACES, type SurfaceId } from "../../src/surfaces/index.ts";
import { type ParsedRequest, parseRequest, readMembers } from "../../src/surfaces/request.ts";
import { isObject, type Json, joinItems, type JsonObject, parseJson } from "../../src/wire/json.ts";

type Marked = { text: string; cache?: Lifetime };

const surfaceOf = (dialect: WireItems["dialect"]): SurfaceId =>
  (Object.keys(SURFACES) as SurfaceId[]).find((id) => SURFACES[id].dialect.id === dialect)!;

const control = (cache: Lifetime): JsonObject =>
  cache === "1h" ? { type: "ephemeral", ttl: "1h" } : { type: "ephemeral" };

/** A user message of one text, as each wire marks it. */
const USER: Record<string, (message: Marked) => Json> = {
  anthropic: ({ text, cache }) => ({
    role: "user",
    content: [{ type: "text", text, ...(cache !== undefined && { cache_control: control(cache) }) }],
  }),
  "openai-chat": ({ text, cache }) => ({
    role: "user",
    content: [{ ...(cache !== undefined && { cache_control: control(cache) }), type: "text", text }],
  }),
  "openai-responses": ({ text, cache }) => ({
    type: "message",
    role: "user",
    content: [
      { type: "input_text", text, ...(cache !== undefined && { prompt_cache_breakpoint: { mode: "explicit" } }) },
    ],
  }),
  native: ({ text, cache }) => ({ type: "input", text, ...(cache !== undefined && { cache }) }),
};
const REPLY: Record<string, Json> = {
  anthropic: { role: "assistant", content: [{ type: "text", text: "ok" }] },
  "openai-chat": { role: "assistant", content: "ok" },
  "openai-responses": { type: "message", role: "assistant", content: [{ type: "output_text", text: "ok" }] },
  native: { type: "response", text: "ok" },
};

/** One turn of a session: a question and its answer. */
const turn = (dialect: WireItems["dialect"], question: Marked): WireItems[] => [
  { dialect, items: joinItems([USER[dialect]!(question)]) },
  { dialect, items: joinItems([REPLY[dialect]!]), issuer: "home" },
];

const contextOf = (history: readonly WireItems[], more: Partial<Context> = {}): Context => ({
  parent: undefined,
  history,
  known: 0,
  ...more,
});

function parse(dialect: WireItems["dialect"], question: Marked, more: JsonObject = {}): ParsedRequest {
  const surface = SURFACES[surfaceOf(dialect)];
  const body = {
    model: "m",
    [surface.dialect.layout.items]: [USER[dialect]!(question)],
    ...(dialect === "anthropic" && { max_tokens: 9 }),
    ...more,
  };
  return parseRequest(readMembers(JSON.stringify(body), new Headers(), surface), surface);
}

/** The body for a provider of this wire, by the way that a call takes. */
function bodyFor(target: "anthropic" | "openai-chat", parsed: ParsedRequest, context: Context): JsonObject {
  const encodeTarget = { dialect: target, model: "m", issuer: "home" };
  const { body } =
    parsed.surface.dialect.id === target
      ? spliceBody(parsed, context, encodeTarget)
      : encodeBody(parsed, context, encodeTarget);
  return parseJson(body) as JsonObject;
}

/** The marked texts of a body, in the order of the prompt, with their lifetimes. */
function marksOf(value: Json | undefined): [text: string, cache: Lifetime][] {
  if (Array.isArray(value)) return value.flatMap(marksOf);
  if (!isObject(value)) return [];
  const inside = ["tools", "function", "system", "messages", "content"].flatMap((member) => marksOf(value[member]));
  if (!isObject(value.cache_control) || value.messages !== undefined) return inside;
  const text = typeof value.text === "string" ? value.text : typeof value.name === "string" ? value.name : "result";
  return [...inside, [text, value.cache_control.ttl === "1h" ? "1h" : "5m"]];
}
const textsOf = (body: JsonObject): string[] => marksOf(body).map(([text]) => text);

/** Removes every mark: what the model sees. */
function withoutMarks(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutMarks);
  if (!isObject(value)) return value;
  const rest = Object.entries(value).filter(([member]) => member !== "cache_control");
  return Object.fromEntries(rest.map(([member, inside]) => [member, withoutMarks(inside)]));
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

describe("cache marks of a session whose newest messages are marked", () => {
  const dialects = ["anthropic", "openai-chat", "openai-responses", "native"] as const;

  it.each(dialects.flatMap((from) => dialects.map((surface) => [from, surface] as const)))(
    "of turns from %s and a call from %s Anthropic gets the newest four cache marks",
    (from, surface) => {
      for (const count of numbers(7)) {
        const turns = numbers(count - 1).map((n) => turn(from, { text: `t${n}`, cache: "5m" }));
        const parsed = parse(surface, { text: `t${count}`, cache: "5m" });
        const body = bodyFor("anthropic", parsed, contextOf(turns.flat()));
        expect(textsOf(body)).toEqual(
          numbers(count)
            .slice(-4)
            .map((n) => `t${n}`),
        );
        expect((body.messages as Json[]).length).toBe(2 * count - 1);
      }
    },
  );

  it("cache marks are limited on Chat as well, where hosts pass `cache_control` on", () => {
    const turns = numbers(6).map((n) => turn("openai-chat", { text: `t${n}`, cache: "5m" }));
    const body = bodyFor("openai-chat", parse("openai-chat", { text: "t7", cache: "5m" }), contextOf(turns.flat()));
    expect(textsOf(body)).toEqual(["t4", "t5", "t6", "t7"]);
  });

  it("fewer cache marks leave the prefix of the earlier call as it was", () => {
    const turns = numbers(12).map((n) => turn("anthropic", { text: `t${n}`, cache: "5m" }));
    const bodies = numbers(12).map((count) => {
      const parsed = parse("anthropic", { text: `t${count}`, cache: "5m" });
      return bodyFor("anthropic", parsed, contextOf(turns.slice(0, count - 1).flat()));
    });
    bodies.slice(1).forEach((body, i) => {
      const before = bodies[i]!;
      const prefix = (body.messages as Json[]).slice(0, (before.messages as Json[]).length);
      expect(withoutMarks(prefix)).toEqual(withoutMarks(before.messages!));
      // The newest mark of the earlier call, up to which it was cached, is still there.
      expect(textsOf(body)).toContain(textsOf(before).at(-1));
    });
  });

  it("removing cache marks changes no other byte of the items", () => {
    const items =
      '{ "role" : "user", "content": [ {"type":"text","text":"\\u0061 \\"cache_control\\" 1.0", "cache_control" : {"type":"ephemeral"} , "citations":null} ] }' +
      ',{"role":"assistant","content":[{"cache_control":{"type":"ephemeral"},"type":"tool_use","id":"c","name":"f","input":{"cache_control":{"type":"x"}}}]}' +
      ',{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":[{"type":"text","text":"r","cache_control":{"type":"ephemeral"}}],"cache_control":{"type":"ephemeral"}}]}';
    const history: WireItems[] = [{ dialect: "anthropic", items }, ...turn("anthropic", { text: "t", cache: "5m" })];
    const tools = numbers(3).map((n) => ({ name: `f${n}`, input_schema: {}, cache_control: control("5m") }));
    const parsed = parse("anthropic", { text: "now", cache: "5m" }, { tools });
    const { body } = spliceBody(parsed, contextOf(history), { dialect: "anthropic", model: "m", issuer: "home" });
    const expected = items
      .replace(' , "citations"', ', "citations"')
      .replace(', "cache_control" : {"type":"ephemeral"}', "")
      .replace('"cache_control":{"type":"ephemeral"},"type":"tool_use"', '"type":"tool_use"')
      .replaceAll(',"cache_control":{"type":"ephemeral"}', "");
    expect(body.replaceAll(/ ,/g, ",")).toContain(expected.replaceAll(/ ,/g, ","));
    expect(textsOf(parseJson(body) as JsonObject)).toEqual(["f1", "f2", "f3", "now"]);
  });

  it("cache marks of the call itself stay, in all places", () => {
    const turns = numbers(5).map((n) => turn("anthropic", { text: `t${n}`, cache: "5m" }));
    const more = {
      tools: [{ name: "f", input_schema: {}, cache_control: control("5m") }],
      system: [{ type: "text", text: "s", cache_control: control("5m") }],
    };
    const parsed = parse("anthropic", { text: "now", cache: "5m" }, more);
    expect(textsOf(bodyFor("anthropic", parsed, contextOf(turns.flat())))).toEqual(["f", "s", "t5", "now"]);
    const automatic = parse("anthropic", { text: "now", cache: "5m" }, { ...more, cache_control: control("5m") });
    expect(textsOf(bodyFor("anthropic", automatic, contextOf(turns.flat())))).toEqual(["f", "s", "now"]);
    const many = numbers(5).map((n) => ({ name: `f${n}`, input_schema: {}, cache_control: control("5m") }));
    const over = bodyFor("anthropic", parse("anthropic", { text: "now" }, { tools: many }), contextOf(turns.flat()));
    expect(textsOf(over)).toEqual(many.map(({ name }) => name));
  });

  it("cache marks of the call itself are counted in all places that a Chat host accepts", () => {
    const turns = numbers(5).map((n) => turn("openai-chat", { text: `t${n}`, cache: "5m" }));
    const tool = { name: "f", parameters: {}, cache_control: control("5m") };
    const marked = { role: "user", content: "whole", cache_control: control("5m") };
    const more = { tools: [{ type: "function", function: tool }], messages: [marked] };
    const body = bodyFor("openai-chat", parse("openai-chat", { text: "" }, more), contextOf(turns.flat()));
    expect(textsOf(body)).toEqual(["f", "t4", "t5", "result"]);
  });

  it("cache marks inside of tool results are limited as well", () => {
    const loop = (n: number): WireItems[] => {
      const result = { type: "text", text: `r${n}`, cache_control: control("5m") };
      const call = { role: "assistant", content: [{ type: "tool_use", id: `c${n}`, name: "f", input: {} }] };
      const results = { role: "user", content: [{ type: "tool_result", tool_use_id: `c${n}`, content: [result] }] };
      return [
        { dialect: "anthropic", items: joinItems([call]), issuer: "home" },
        { dialect: "anthropic", items: joinItems([results]) },
      ];
    };
    const history = [...turn("anthropic", { text: "t", cache: "5m" }), ...numbers(6).flatMap(loop)];
    for (const surface of ["anthropic", "openai-chat", "native"] as const) {
      const body = bodyFor("anthropic", parse(surface, { text: "now", cache: "5m" }), contextOf(history));
      expect(textsOf(body)).toEqual(["r4", "r5", "r6", "now"]);
    }
  });

  it("cache marks of restored instructions are the oldest", () => {
    const member = { key: "system", json: JSON.stringify([{ type: "text", text: "s", cache_control: control("5m") }]) };
    const instructions = { dialect: "anthropic", member } as const;
    const turns = (count: number): WireItems[] =>
      numbers(count).flatMap((n) => turn("anthropic", { text: `t${n}`, cache: "5m" }));
    const parsed = parse("anthropic", { text: "now", cache: "5m" });
    expect(textsOf(bodyFor("anthropic", parsed, contextOf(turns(2), { instructions })))).toEqual([
      "s",
      "t1",
      "t2",
      "now",
    ]);
    const body = bodyFor("anthropic", parsed, contextOf(turns(3), { instructions }));
    expect([textsOf(body), body.system]).toEqual([["t1", "t2", "t3", "now"], [{ type: "text", text: "s" }]]);
    const items = joinItems([{ role: "system", content: [{ type: "text", text: "s", cache_control: control("5m") }] }]);
    const chat = bodyFor("anthropic", parse("openai-chat", { text: "now", cache: "5m" }), {
      ...contextOf(turns(3)),
      instructions: { dialect: "openai-chat", items },
    });
    expect([textsOf(chat), chat.system]).toEqual([["t1", "t2", "t3", "now"], "s"]);
  });

  it("cache marks of one hour are never behind those of five minutes", () => {
    const turns = (["1h", "5m", "1h", "5m"] as const).flatMap((cache, i) =>
      turn("anthropic", { text: `t${i + 1}`, cache }),
    );
    const sent = (cache: Lifetime, more: JsonObject = {}): string[] =>
      textsOf(bodyFor("anthropic", parse("anthropic", { text: "now", cache }, more), contextOf(turns)));
    expect(sent("5m")).toEqual(["t1", "t3", "t4", "now"]);
    expect(sent("1h")).toEqual(["t1", "t3", "now"]);
    const system = [{ type: "text", text: "s", cache_control: control("5m") }];
    expect(sent("5m", { system })).toEqual(["s", "t2", "t4", "now"]);
  });

  it("only the newest four cache marks are sent also in one call of another wire", () => {
    for (const dialect of ["openai-chat", "openai-responses", "native"] as const) {
      const { layout } = DIALECTS[dialect];
      const items = numbers(7).map((n) => USER[dialect]!({ text: `t${n}`, cache: "5m" }));
      const body = bodyFor("anthropic", parse(dialect, { text: "" }, { [layout.items]: items }), contextOf([]));
      expect(textsOf(body)).toEqual(["t4", "t5", "t6", "t7"]);
    }
  });
});

describe("selectMarks", () => {
  const lifetimes = fc.array(fc.constantFrom<Lifetime>("5m", "1h"), { maxLength: 8 });
  const isOrdered = (marks: readonly Lifetime[]): boolean =>
    !marks.includes("5m") || marks.lastIndexOf("1h") < marks.indexOf("5m");

  it("selectMarks accepts at most four marks in an order that the API accepts, and the newest if it can", () => {
    fc.assert(
      fc.property(lifetimes, lifetimes, lifetimes, (marks, before, after) => {
        const selected = selectMarks(marks, before, after);
        const left = marks.filter((_, i) => selected.has(i));
        expect(left.length).toBeLessThanOrEqual(Math.max(0, 4 - before.length - after.length));
        if (isOrdered([...before, ...after])) expect(isOrdered([...before, ...left, ...after])).toBe(true);
        const newest = marks.length - 1;
        if (newest >= 0 && before.length + after.length < 4 && isOrdered([...before, marks[newest]!, ...after]))
          expect(selected.has(newest)).toBe(true);
      }),
    );
  });
});
