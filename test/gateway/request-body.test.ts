import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Dialect, Message } from "../../src/canonical/types.ts";
import { encodeBody, spliceBody } from "../../src/gateway/request-body.ts";
import type { Context } from "../../src/session/session.ts";
import type { WireItems } from "../../src/session/turns.ts";
import { type Surface, SURFACES } from "../../src/surfaces/index.ts";
import { type ParsedRequest, parseRequest, readMembers } from "../../src/surfaces/request.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";

/** How each wire writes a user's text, an answer, and what each request must have. */
const WIRES: Record<Dialect, { user: (text: string) => Json; reply: (text: string) => Json; more: JsonObject }> = {
  "openai-chat": {
    user: (text) => ({ role: "user", content: text }),
    reply: (text) => ({ role: "assistant", content: text }),
    more: {},
  },
  "openai-responses": {
    user: (text) => ({ role: "user", content: text }),
    reply: (text) => ({ type: "message", role: "assistant", content: [{ type: "output_text", text }] }),
    more: {},
  },
  anthropic: {
    user: (text) => ({ role: "user", content: text }),
    reply: (text) => ({ role: "assistant", content: [{ type: "text", text }] }),
    more: { max_tokens: 9 },
  },
  gemini: {
    user: (text) => ({ role: "user", parts: [{ text }] }),
    reply: (text) => ({ role: "model", parts: [{ text }] }),
    more: {},
  },
  native: {
    user: (text) => ({ type: "input", text }),
    reply: (text) => ({ type: "response", text }),
    more: {},
  },
};
const dialects = Object.keys(WIRES) as Dialect[];
const surfaceOf = (dialect: Dialect): Surface =>
  Object.values<Surface>(SURFACES).find((surface) => surface.dialect.id === dialect)!;
const listOf = (dialect: Dialect): string => surfaceOf(dialect).dialect.layout.items;

const parse = (dialect: Dialect, text: string): ParsedRequest => {
  const surface = surfaceOf(dialect);
  return parseRequest(readMembers(text, new Headers(), surface), surface);
};

const targetOf = (dialect: Dialect): { dialect: Dialect; model: string; issuer: string } => ({
  dialect,
  model: "target",
  issuer: "home",
});
const contextOf = (history: readonly WireItems[], more: Partial<Context> = {}): Context => ({
  parent: undefined,
  history,
  known: 0,
  ...more,
});
const NO_HISTORY = contextOf([]);

/** One stored turn, with white space that no serializer writes. */
const turn = (dialect: Dialect, n: number): WireItems[] => [
  { dialect, items: `${JSON.stringify(WIRES[dialect].user(`question ${n}`))} ` },
  { dialect, items: ` ${JSON.stringify(WIRES[dialect].reply(`answer ${n}`))}`, issuer: "home" },
];

/** A request of some members, as text. `indent`: how it is laid out. */
const write = (dialect: Dialect, questions: readonly string[], more: JsonObject = {}, indent = 0): string =>
  JSON.stringify(
    { model: "m", [listOf(dialect)]: questions.map(WIRES[dialect].user), ...WIRES[dialect].more, ...more },
    null,
    indent,
  );

const questions = fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 4 });
const indents = fc.constantFrom(0, 1, 2);

describe.each(dialects)("spliceBody, %s", (dialect) => {
  const splice = (text: string, context = NO_HISTORY): string =>
    spliceBody(parse(dialect, text), context, targetOf(dialect)).body;

  it("spliceBody changes only the model of a call without a session, in any layout of the text", () => {
    fc.assert(
      fc.property(questions, indents, fc.double({ min: 0, max: 1, noNaN: true }), (all, indent, temperature) => {
        const text = write(dialect, all, { temperature }, indent);
        expect(splice(text)).toBe(text.replace(/"model": ?"m"/, (member) => member.replace('"m"', '"target"')));
      }),
    );
  });

  // The gateway's own wire refuses unknown members, and numbers that a parser would round.
  it.skipIf(dialect === "native")("spliceBody leaves what a parser would change", () => {
    const odd = `{ "model" : "m","${listOf(dialect)}":${JSON.stringify([WIRES[dialect].user("é")]).replace("é", String.raw`\u00e9`)},"max_tokens":9,"seed":12345678901234567 }`;
    expect(splice(odd)).toBe(odd.replace('"m"', '"target"'));
  });

  it("spliceBody removes the gateway's own object from any place", () => {
    fc.assert(
      fc.property(fc.nat(4), indents, (place, indent) => {
        const members = Object.entries(JSON.parse(write(dialect, ["Hi"], { temperature: 1 })) as JsonObject);
        const withRhone = members.toSpliced(place, 0, ["rhone", { on_busy: "queue" }]);
        const text = JSON.stringify(Object.fromEntries(withRhone), null, indent);
        const body = splice(text);
        expect(body).not.toContain("rhone");
        expect(JSON.parse(body)).toEqual({ ...Object.fromEntries(members), model: "target" });
      }),
    );
  });

  it("spliceBody writes the stored items byte for byte, then those of the call that the history does not hold", () => {
    fc.assert(
      fc.property(questions, fc.integer({ min: 1, max: 3 }), fc.nat(3), indents, (all, turns, seen, indent) => {
        const text = write(dialect, all, {}, indent);
        const parsed = parse(dialect, text);
        const history = Array.from({ length: turns }, (_, i) => turn(dialect, i)).flat();
        const known = Math.min(seen, all.length);
        const { body, losses } = spliceBody(parsed, contextOf(history, { known }), targetOf(dialect));
        const items = [...history.map((part) => part.items), ...parsed.items.slice(known)];
        expect(body).toContain(`[${items.join(",")}]`);
        expect(losses).toEqual([]);
        expect(Object.keys(JSON.parse(body) as JsonObject).toSorted()).toEqual(
          Object.keys(JSON.parse(text) as JsonObject).toSorted(),
        );
      }),
    );
  });

  it("spliceBody accepts turns of every other wire, and leaves the bytes of the call's own items", () => {
    for (const other of dialects.filter((one) => one !== dialect)) {
      const item = JSON.stringify(WIRES[dialect].user("new"), null, 1);
      const text = write(dialect, ["new"]).replace(JSON.stringify(WIRES[dialect].user("new")), item);
      const body = splice(text, contextOf(turn(other, 1)));
      expect(body).toContain(`,${item}]`);
      const list = (JSON.parse(body) as JsonObject)[listOf(dialect)] as Json[];
      expect(list.map((one) => JSON.stringify(one).match(/question 1|answer 1|new/)?.[0])).toEqual([
        "question 1",
        "answer 1",
        "new",
      ]);
    }
  });
});

describe("spliceBody", () => {
  it("spliceBody names the target's model also if the request names none, unless it is in the URL", () => {
    const body = `{"messages":[{"role":"user","content":"Hi"}],"rhone":{"routing":{"model":"alias"}}}`;
    const chat = spliceBody(parse("openai-chat", body), NO_HISTORY, targetOf("openai-chat"));
    expect(JSON.parse(chat.body)).toEqual({ messages: [{ role: "user", content: "Hi" }], model: "target" });
    const text = `{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}`;
    const surface = SURFACES.gemini;
    const parsed = parseRequest(readMembers(text, new Headers(), surface), surface, { model: "m", stream: false });
    expect(spliceBody(parsed, NO_HISTORY, targetOf("gemini")).body).toBe(text);
  });

  it("spliceBody changes every one of several members of a name, since hosts differ in which one they read", () => {
    const text = `{"model":"a","messages":[{"role":"user","content":"Hi"}],"model":"m","rhone":{},"rhone":{}}`;
    expect(spliceBody(parse("openai-chat", text), NO_HISTORY, targetOf("openai-chat")).body).toBe(
      `{"model":"target","messages":[{"role":"user","content":"Hi"}],"model":"target"}`,
    );
  });

  it("spliceBody replaces the second name of the list as well, if the history is added", () => {
    const parsed = parse("native", `{"model":"m","blocks":[{"type":"input","text":"new"}]}`);
    expect(spliceBody(parsed, NO_HISTORY, targetOf("native")).body).toContain(`"blocks":`);
    const { body } = spliceBody(parsed, contextOf(turn("native", 1)), targetOf("native"));
    expect(Object.keys(JSON.parse(body) as JsonObject)).toEqual(["model", "input"]);
  });

  it("spliceBody requests token counts, unless the request itself has the member", () => {
    const usage = { member: ["stream_options", `{"include_usage":true}`] as const, isUsageEvent: () => false };
    const optionsOf = (more: JsonObject): Json | undefined => {
      const parsed = parse("openai-chat", write("openai-chat", ["Hi"], { stream: true, ...more }));
      const { body } = spliceBody(parsed, NO_HISTORY, targetOf("openai-chat"), usage);
      return (JSON.parse(body) as JsonObject).stream_options;
    };
    expect(optionsOf({})).toEqual({ include_usage: true });
    expect(optionsOf({ stream_options: null })).toEqual({ include_usage: true });
    expect(optionsOf({ stream_options: { include_usage: false } })).toEqual({ include_usage: false });
  });

  it.each([
    ["previous_response_id", "resp_1"] as const,
    ["conversation", "conv_1"] as const,
    ["background", true] as const,
  ])("spliceBody removes %s, a reference to what the gateway stores", (member, value) => {
    const sent = (more: JsonObject): JsonObject => {
      const parsed = parse("openai-responses", write("openai-responses", ["Hi"], more));
      return JSON.parse(spliceBody(parsed, NO_HISTORY, targetOf("openai-responses")).body) as JsonObject;
    };
    expect(sent({ [member]: value })).not.toHaveProperty(member);
    expect(sent({ [member]: null })).toHaveProperty(member, null);
  });

  it("spliceBody restores the session's instructions for a call without its own", () => {
    const instructions = { dialect: "anthropic", member: { key: "system", json: `"Be  brief."` } } as const;
    const sent = (more: JsonObject): string =>
      spliceBody(
        parse("anthropic", write("anthropic", ["Hi"], more)),
        contextOf(turn("anthropic", 1), { instructions }),
        targetOf("anthropic"),
      ).body;
    for (const more of [{}, { system: "" }, { system: [] }]) expect(sent(more)).toContain(`"system":"Be  brief."`);
    const items = { dialect: "openai-chat", items: `{"role":"system","content":"Be  brief."}` } as const;
    const { body } = spliceBody(
      parse("openai-chat", write("openai-chat", ["Hi"])),
      contextOf(turn("openai-chat", 1), { instructions: items }),
      targetOf("openai-chat"),
    );
    expect(body).toContain(`"messages":[${items.items},${turn("openai-chat", 1)[0]!.items},`);
  });
});

describe.each(dialects)("encodeBody, from %s", (from) => {
  const others = dialects.filter((one) => one !== from);

  /** The texts of an encoded conversation, in their order. */
  const wordsOf = (body: string): string[] => body.match(/(?:question|answer|new|appended) \d/g) ?? [];

  it("encodeBody writes the history of any wire, the call's own messages, and those that are appended", () => {
    const parsed = parse(from, write(from, ["new 0", "new 1"]));
    const history = dialects.flatMap((dialect, i) => turn(dialect, i));
    const appended: Message[] = [{ role: "user", blocks: [{ kind: "text", text: "appended 0" }] }];
    for (const to of others) {
      const { body } = encodeBody(parsed, contextOf(history, { known: 1 }), targetOf(to), appended);
      const stored = dialects.flatMap((_, i) => [`question ${i}`, `answer ${i}`]);
      expect(wordsOf(body)).toEqual([...stored, "new 1", "appended 0"]);
    }
  });

  it.skipIf(from === "native")(
    "encodeBody reports each member that only the caller's wire has, once, and none that is null",
    () => {
      const parsed = parse(from, write(from, ["new 0"], { x_own: 1, x_empty: null, temperature: 0.5 }));
      for (const to of others) {
        const { body, losses } = encodeBody(parsed, NO_HISTORY, targetOf(to));
        expect(losses.filter(({ at }) => at.startsWith("x_"))).toEqual([
          { at: "x_own", what: "dropped", why: `${to} has no such member` },
        ]);
        expect(body).not.toContain("x_own");
      }
    },
  );

  it("encodeBody returns equal bytes for an equal request, which the caches of providers compare", () => {
    fc.assert(
      fc.property(questions, (all) => {
        for (const to of others) {
          const encode = (indent: number): string =>
            encodeBody(parse(from, write(from, all, {}, indent)), contextOf(turn(from, 1)), targetOf(to)).body;
          expect(encode(2)).toBe(encode(0));
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe("encodeBody", () => {
  it("encodeBody sends no reference to what the gateway stores, also to a provider of the same wire", () => {
    const parsed = parse(
      "openai-responses",
      write("openai-responses", ["Hi"], { previous_response_id: "resp_1", background: true, truncation: "auto" }),
    );
    const { body } = encodeBody(parsed, NO_HISTORY, targetOf("openai-responses"));
    expect(JSON.parse(body)).toMatchObject({ model: "target", truncation: "auto" });
    expect(body).not.toMatch(/previous_response_id|background/);
  });

  it("encodeBody restores instructions of another wire", () => {
    const instructions = { dialect: "anthropic", member: { key: "system", json: `"Be brief."` } } as const;
    const parsed = parse("openai-chat", write("openai-chat", ["Hi"]));
    const { body } = encodeBody(parsed, contextOf([], { instructions }), targetOf("gemini"));
    expect(JSON.parse(body)).toMatchObject({ systemInstruction: { parts: [{ text: "Be brief." }] } });
  });
});
