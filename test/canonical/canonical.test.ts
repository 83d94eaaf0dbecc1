import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StreamAccumulator, fold, unfold } from "../../src/canonical/accumulator.ts";
import { GatewayError, toGatewayError } from "../../src/canonical/error.ts";
import { editItem, hasSeal, unseal, readNativeItem, readNativeMessage } from "../../src/canonical/native.ts";
import { budgetOf, nearestEffort } from "../../src/canonical/reasoning.ts";
import {
  findLongestKnownPrefix,
  hashAfter,
  hashInput,
  hashReply,
  hashTurn,
  ROOT,
} from "../../src/canonical/turn-hash.ts";
import type { Block, Message, ModelResponse, Native } from "../../src/canonical/types.ts";
import { computeCostMicros, sumInputTokens } from "../../src/canonical/usage.ts";

const text = fc.string({ unit: "grapheme", minLength: 1 });
const native = fc.option(
  fc.record({ dialect: fc.constant("anthropic" as const), item: fc.jsonValue() }) as fc.Arbitrary<Native>,
  { nil: undefined },
);
const withNative = <T extends Block>(block: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.tuple(block, native).map(([view, item]) => (item === undefined ? view : { ...view, native: item }));
const block: fc.Arbitrary<Block> = fc.oneof(
  withNative(fc.record({ kind: fc.constant("text" as const), text })),
  withNative(fc.record({ kind: fc.constant("thinking" as const), text: fc.string() })),
  withNative(fc.record({ kind: fc.constant("tool_call" as const), id: text, name: text, arguments: fc.json() })),
  fc.record({
    kind: fc.constant("opaque" as const),
    label: text,
    native: fc.constant({ dialect: "gemini" as const, item: {} }),
  }),
);
const reply: fc.Arbitrary<Message> = fc.record({
  role: fc.constant("assistant" as const),
  blocks: fc.array(block, { minLength: 1 }),
});
const response: fc.Arbitrary<ModelResponse> = fc.record({
  id: text,
  model: text,
  messages: fc.array(reply, { minLength: 1 }),
  finish: fc.record({ reason: fc.constantFrom("stop" as const, "length" as const, "tool_calls" as const) }),
  usage: fc.record({ fresh: fc.nat(), output: fc.nat() }),
});

describe("fold and unfold", () => {
  it("fold and unfold are inverses", () => {
    fc.assert(
      fc.property(response, (whole) => {
        expect(fold(unfold(whole))).toEqual(whole);
      }),
    );
  });

  it("an accumulator has the partial messages of a stream that ended with an error", () => {
    const folded = new StreamAccumulator();
    folded.push({ type: "start", id: "1", model: "m" });
    folded.push({ type: "open", index: 0, block: { kind: "text", text: "" } });
    folded.push({ type: "delta", index: 0, text: "Half" });
    folded.push({ type: "error", error: new GatewayError("stream.interrupted", "cut") });
    expect(folded.response).toBeUndefined();
    expect(folded.messages).toEqual([{ role: "assistant", blocks: [{ kind: "text", text: "Half" }] }]);
  });

  it("fold throws an error for a stream without an end", () => {
    expect(() => fold([{ type: "start", id: "1", model: "m" }])).toThrow(GatewayError);
  });
});

describe("the hash of a turn", () => {
  const user = (said: string): Message => ({ role: "user", blocks: [{ kind: "text", text: said }] });
  const model = (...blocks: Block[]): Message => ({ role: "assistant", blocks });
  const says = (said: string): Block => ({ kind: "text", text: said });
  const call: Block = { kind: "tool_call", id: "1", name: "f", arguments: '{"a":1,"b":2}' };

  it("a hash depends on what messages say, not on their division, reasoning, ids or system messages", () => {
    const name = hashAfter(ROOT, [
      user("Hi"),
      model({ kind: "thinking", text: "hm" }, says("Hello "), says("there"), call),
    ]);
    const respelt: Block = { ...call, id: "another", arguments: '{ "b": 2, "a": 1 }' };
    const lossy = [
      { role: "system", blocks: [says("Be brief")] } as Message,
      user("Hi"),
      model(says("Hello there")),
      model(respelt),
    ];
    expect(hashAfter(ROOT, lossy)).toBe(name);
    expect(hashAfter(ROOT, [user("Hi!"), ...lossy.slice(2)])).not.toBe(name);
    expect(hashAfter(ROOT, lossy.slice(0, -1))).not.toBe(name);
  });

  it("a hash ignores the quotes and spaces of the model's text, but not the quotes of the user's text", () => {
    const said = (quote: string): string => hashAfter(ROOT, [user("x"), model(says(`Input: {${quote}a${quote}:  2}`))]);
    expect(said("'")).toBe(said('"'));
    expect(hashAfter(ROOT, [user("'x'")])).not.toBe(hashAfter(ROOT, [user('"x"')]));
  });

  it("the hashes of fixed messages have not changed, since sessions store the hashes of their turns", () => {
    const said = [
      { role: "system", blocks: [says("Be brief.")] },
      user(" Weather\n in Pau?  "),
      { role: "user", blocks: [{ kind: "media", mime: "image/png", source: { type: "base64", data: "AAAA" } }] },
    ] satisfies Message[];
    const replied = model({ kind: "thinking", text: "hm" }, says(' "One"\t`moment`  '), {
      kind: "tool_call",
      id: "1",
      name: "weather",
      arguments: '{"to":12345678901234567890, "at": "Pau" }',
    });
    const results = [' {"b":[1,{"d":2,"c":3}],"a":null}', "no JSON "].map(
      (text, i) => ({ kind: "tool_result", id: String(i), content: [{ kind: "text", text }] }) satisfies Block,
    );
    const answered = [{ role: "user", blocks: results }, model(says("Rain."))] satisfies Message[];
    expect(hashAfter(ROOT, [...said, replied, ...answered])).toBe("o_DvKsc3mTBR-IE7EAJgsLruxXnXKLg7OoIgOr0_xAM");
    expect(hashAfter("abc", said)).toBe("4CIhwBMqI9_dYSRr6eTa1BLMQxkl3i3XmCrI-ZrJTsA");
  });

  it("a reply is hashed after its input as both are together, unless the input ends with the model", () => {
    const message = fc.oneof(
      reply,
      fc.record({ role: fc.constantFrom("user" as const, "system" as const), blocks: fc.array(block) }),
    );
    fc.assert(
      fc.property(fc.array(message), fc.array(reply), fc.constantFrom(ROOT, "elsewhere"), (input, replied, from) => {
        fc.pre(input.findLast(({ role }) => role !== "system")?.role !== "assistant");
        expect(hashReply(hashInput(from, input), replied)).toEqual(hashTurn(from, input, replied));
      }),
    );
  });

  it("hashTurn and hashAfter return equal hashes, wherever the reply starts", () => {
    const message = fc.oneof(
      reply,
      fc.record({ role: fc.constantFrom("user" as const, "system" as const), blocks: fc.array(block) }),
    );
    fc.assert(
      fc.property(fc.array(message), fc.nat(), fc.constantFrom(ROOT, "elsewhere"), (messages, at, from) => {
        const said = messages.slice(0, at % (messages.length + 1));
        const replied = messages.slice(said.length);
        expect(hashTurn(from, said, replied)).toEqual({
          chain: hashAfter(from, messages),
          own: hashAfter(ROOT, messages),
          reply: hashAfter(ROOT, replied),
        });
      }),
    );
  });

  it("findLongestKnownPrefix finds the longest prefix that ends with a known turn", () => {
    const first = hashAfter(ROOT, [user("a"), model(says("b"))]);
    const second = hashAfter(first, [user("c"), model(says("d"))]);
    const known = (name: string): string | undefined => ({ [first]: "turn 1", [second]: "turn 2" })[name];
    const transcript = [user("a"), model(says("b")), user("c"), model(says("d")), user("e")];
    expect(findLongestKnownPrefix(transcript, known)).toMatchObject({ match: "turn 2", count: 4, replyAt: 3 });
    expect(findLongestKnownPrefix([...transcript.slice(0, 2), user("other")], known)).toMatchObject({
      match: "turn 1",
      count: 2,
    });
    expect(findLongestKnownPrefix([user("e")], known)).toBeUndefined();
    expect(findLongestKnownPrefix([user("a")], known)).toBeUndefined();
  });

  it("findLongestKnownPrefix finds the end of a turn that another message of the assistant follows", () => {
    const first = hashAfter(ROOT, [user("a"), model(says("b"))]);
    const second = hashAfter(first, [model(says("few-shot")), user("c"), model(says("d"))]);
    const known = (name: string): string | undefined => ({ [first]: "1", [second]: "2" })[name];
    const transcript = [user("a"), model(says("b")), model(says("few-shot")), user("c"), model(says("d"))];
    expect(findLongestKnownPrefix(transcript, known)).toMatchObject({ match: "2", count: 5 });
  });
});

describe("native items", () => {
  const sealed: Block = {
    kind: "thinking",
    text: "hm",
    native: { dialect: "anthropic", item: { signature: "s" }, seal: "a/1" },
  };
  const message: Message = {
    role: "assistant",
    blocks: [sealed, { kind: "text", text: "x" }],
    native: { dialect: "anthropic", item: { whole: true } },
  };

  it("a native item is read by its own dialect only, and a sealed one by its issuer only", () => {
    expect(readNativeItem(sealed.native, { dialect: "anthropic", issuer: "a/1" })).toEqual({ signature: "s" });
    expect(readNativeItem(sealed.native, { dialect: "anthropic", issuer: "a/2" })).toBeUndefined();
    expect(readNativeItem(sealed.native, { dialect: "gemini", issuer: "a/1" })).toBeUndefined();
    expect(readNativeMessage(message, { dialect: "anthropic", issuer: "a/1" })).toEqual({ whole: true });
    expect(readNativeMessage(message, { dialect: "anthropic", issuer: "a/2" })).toBeUndefined();
  });

  it("an edited block has no native item, and an unsealed message has no sealed block", () => {
    expect(editItem(sealed, { text: "other" })).toEqual({ kind: "thinking", text: "other" });
    expect(hasSeal(message)).toBe(true);
    expect(unseal(message)).toEqual({ role: "assistant", blocks: [{ kind: "text", text: "x" }] });
    expect(hasSeal(unseal(message))).toBe(false);
  });
});

describe("costs, token counts and efforts", () => {
  it("a cost is never less than the real one, and is undefined if a price or a count is missing", () => {
    const price = { input: 3_000_000, output: 15_000_000, cacheRead: 300_000 };
    expect(computeCostMicros({ fresh: 10, cacheRead: 100, output: 5 }, price)).toBe(10 * 3 + 30 + 75);
    expect(computeCostMicros({ fresh: 1, output: 0 }, { input: 1, output: 1 })).toBe(1);
    expect(computeCostMicros({ output: 5 }, price)).toBeUndefined();
    expect(computeCostMicros({ fresh: 1, output: 1 }, undefined)).toBeUndefined();
  });

  it("the input tokens are the sum of disjoint counts, and are undefined if no count is reported", () => {
    expect(sumInputTokens({ fresh: 1, cacheRead: 2, cacheWrite: 3 })).toBe(6);
    expect(sumInputTokens({ output: 3 })).toBeUndefined();
  });

  it("an effort that is converted to a budget and back is the same effort", () => {
    for (const effort of ["none", "minimal", "low", "medium", "high", "xhigh"] as const)
      expect(nearestEffort(budgetOf(effort))).toBe(effort);
  });

  it("an unexpected error becomes an internal error without its message", () => {
    const error = toGatewayError(new Error("password=1"));
    expect([error.code, error.message.includes("password")]).toEqual(["internal", false]);
  });
});
