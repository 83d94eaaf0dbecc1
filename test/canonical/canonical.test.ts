import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StreamAccumulator, fold, unfold } from "../../src/canonical/accumulator.ts";
import { GatewayError, toGatewayError } from "../../src/canonical/error.ts";
import { editItem, hasSeal, unseal, readNativeItem, readNativeMessage } from "../../src/canonical/native.ts";
import { budgetOf, nearestEffort } from "../../src/canonical/reasoning.ts";
import { findLongestKnownPrefix, hashAfter, hashTurn, ROOT } from "../../src/canonical/turn-hash.ts";
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
  it("are inverses", () => {
    fc.assert(
      fc.property(response, (whole) => {
        expect(fold(unfold(whole))).toEqual(whole);
      }),
    );
  });

  it("keep what came when the rest did not", () => {
    const folded = new StreamAccumulator();
    folded.push({ type: "start", id: "1", model: "m" });
    folded.push({ type: "open", index: 0, block: { kind: "text", text: "" } });
    folded.push({ type: "delta", index: 0, text: "Half" });
    folded.push({ type: "error", error: new GatewayError("stream.interrupted", "cut") });
    expect(folded.response).toBeUndefined();
    expect(folded.messages).toEqual([{ role: "assistant", blocks: [{ kind: "text", text: "Half" }] }]);
  });

  it("take no stream without an end for an answer", () => {
    expect(() => fold([{ type: "start", id: "1", model: "m" }])).toThrow(GatewayError);
  });
});

describe("the chain", () => {
  const user = (said: string): Message => ({ role: "user", blocks: [{ kind: "text", text: said }] });
  const model = (...blocks: Block[]): Message => ({ role: "assistant", blocks });
  const says = (said: string): Block => ({ kind: "text", text: said });
  const call: Block = { kind: "tool_call", id: "1", name: "f", arguments: '{"a":1,"b":2}' };

  it("names a place by what was said, not by how", () => {
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

  it("forgives how a client writes the model's words anew, not how it changes its own", () => {
    const said = (quote: string): string => hashAfter(ROOT, [user("x"), model(says(`Input: {${quote}a${quote}:  2}`))]);
    expect(said("'")).toBe(said('"'));
    expect(hashAfter(ROOT, [user("'x'")])).not.toBe(hashAfter(ROOT, [user('"x"')]));
  });

  it("is named as it always was, since sessions hold the names of their turns", () => {
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

  it("names a turn as what it says is named, however that is parted", () => {
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

  it("finds the longest beginning that is a turn's end", () => {
    const first = hashAfter(ROOT, [user("a"), model(says("b"))]);
    const second = hashAfter(first, [user("c"), model(says("d"))]);
    const known = (name: string): string | undefined => ({ [first]: "turn 1", [second]: "turn 2" })[name];
    const transcript = [user("a"), model(says("b")), user("c"), model(says("d")), user("e")];
    expect(findLongestKnownPrefix(transcript, known)).toEqual({ match: "turn 2", count: 4 });
    expect(findLongestKnownPrefix([...transcript.slice(0, 2), user("other")], known)).toEqual({
      match: "turn 1",
      count: 2,
    });
    expect(findLongestKnownPrefix([user("e")], known)).toBeUndefined();
    expect(findLongestKnownPrefix([user("a")], known)).toBeUndefined();
  });

  it("knows a turn's end also where the same author goes on", () => {
    const first = hashAfter(ROOT, [user("a"), model(says("b"))]);
    const second = hashAfter(first, [model(says("few-shot")), user("c"), model(says("d"))]);
    const known = (name: string): string | undefined => ({ [first]: "1", [second]: "2" })[name];
    const transcript = [user("a"), model(says("b")), model(says("few-shot")), user("c"), model(says("d"))];
    expect(findLongestKnownPrefix(transcript, known)).toEqual({ match: "2", count: 5 });
  });
});

describe("natives", () => {
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

  it("go to their dialect, and what is sealed to its issuer only", () => {
    expect(readNativeItem(sealed.native, { dialect: "anthropic", issuer: "a/1" })).toEqual({ signature: "s" });
    expect(readNativeItem(sealed.native, { dialect: "anthropic", issuer: "a/2" })).toBeUndefined();
    expect(readNativeItem(sealed.native, { dialect: "gemini", issuer: "a/1" })).toBeUndefined();
    expect(readNativeMessage(message, { dialect: "anthropic", issuer: "a/1" })).toEqual({ whole: true });
    expect(readNativeMessage(message, { dialect: "anthropic", issuer: "a/2" })).toBeUndefined();
  });

  it("do not survive an edit, and sealed ones do not survive unsealing", () => {
    expect(editItem(sealed, { text: "other" })).toEqual({ kind: "thinking", text: "other" });
    expect(hasSeal(message)).toBe(true);
    expect(unseal(message)).toEqual({ role: "assistant", blocks: [{ kind: "text", text: "x" }] });
    expect(hasSeal(unseal(message))).toBe(false);
  });
});

describe("money and effort", () => {
  it("never tells a call cheaper than it was, and an unknown price not at all", () => {
    const price = { input: 3_000_000, output: 15_000_000, cacheRead: 300_000 };
    expect(computeCostMicros({ fresh: 10, cacheRead: 100, output: 5 }, price)).toBe(10 * 3 + 30 + 75);
    expect(computeCostMicros({ fresh: 1, output: 0 }, { input: 1, output: 1 })).toBe(1);
    expect(computeCostMicros({ output: 5 }, price)).toBeUndefined();
    expect(computeCostMicros({ fresh: 1, output: 1 }, undefined)).toBeUndefined();
  });

  it("sums disjoint buckets, and knows unknown from none", () => {
    expect(sumInputTokens({ fresh: 1, cacheRead: 2, cacheWrite: 3 })).toBe(6);
    expect(sumInputTokens({ output: 3 })).toBeUndefined();
  });

  it("turns an effort into a budget and back", () => {
    for (const effort of ["none", "minimal", "low", "medium", "high", "xhigh"] as const)
      expect(nearestEffort(budgetOf(effort))).toBe(effort);
  });

  it("tells nothing of what it did not expect", () => {
    const error = toGatewayError(new Error("password=1"));
    expect([error.code, error.message.includes("password")]).toEqual(["internal", false]);
  });
});
