import { describe, expect, it } from "vitest";
import { hashInput, hashReply, hashTurn, ROOT } from "../../src/canonical/turn-hash.ts";
import type { Message } from "../../src/canonical/types.ts";
import { findContinuation, findContinuationOf, type Continuation } from "../../src/session/continuation.ts";
import { listPendingCalls, type Turn } from "../../src/session/turns.ts";

const says = (role: "user" | "assistant", text: string): Message => ({ role, blocks: [{ kind: "text", text }] });
const ask = (text: string): Message => says("user", text);
const reply = (text: string): Message => says("assistant", text);
const call = (id: string): Message => ({
  role: "assistant",
  blocks: [{ kind: "tool_call", id, name: "look", arguments: "{}" }],
});
const result = (id: string): Message => ({
  role: "user",
  blocks: [{ kind: "tool_result", id, name: "look", content: [{ kind: "text", text: "seen" }] }],
});

const NO_ITEMS = { dialect: "openai-chat" as const, items: "", issuer: "" };

/** A turn of these messages. Its id is its letter. */
const turn = (id: string, parent: Turn | undefined, requested: Message[], answer: Message[]): Turn => ({
  ...hashTurn(parent?.chain ?? ROOT, requested, answer),
  id,
  parent: parent?.id,
  kind: "call",
  depth: (parent?.depth ?? 0) + 1,
  open: listPendingCalls(answer),
  input: NO_ITEMS,
  output: NO_ITEMS,
  createdAt: 0,
});

// A tree of turns: a – b – c is the path to the head, d is a branch beside b, e a branch beside c.
const A = [ask("one"), reply("eins")];
const B = [ask("two"), reply("zwei")];
const C = [ask("three"), reply("drei")];
const D = [ask("zwo"), reply("deux")];
const a = turn("a", undefined, [A[0]!], [A[1]!]);
const b = turn("b", a, [B[0]!], [B[1]!]);
const c = turn("c", b, [C[0]!], [C[1]!]);
const d = turn("d", a, [D[0]!], [D[1]!]);
const more = ask("and now?");

const find = (messages: Message[], path: Turn[] = [a, b, c], all: Turn[] = [a, b, c, d]): Continuation =>
  findContinuation(messages, path, {
    listByHash: (chain) => all.filter((one) => one.chain === chain).toReversed(),
    listWithCalls: () => all.filter(({ open }) => open.length > 0).toReversed(),
  });

describe("messages that start with a transcript", () => {
  it.each([
    ["the head's", [...A, ...B, ...C, more], { at: "c", matchedCount: 6 }],
    ["that of an earlier turn", [...A, ...B, more], { at: "b", matchedCount: 4 }],
    ["that of a turn beside the path", [...A, ...D, more], { at: "d", matchedCount: 4 }],
    [
      "that of a turn, with an answer of their own behind it",
      [...A, ask("2"), reply("own"), more],
      { at: "a", matchedCount: 2 },
    ],
  ])("messages that start with a transcript continue its turn: %s", (_, messages, expected) => {
    expect(find(messages)).toEqual(expected);
  });

  it("messages that start with a transcript continue its turn also without a new message", () => {
    expect(find([...A, ...B])).toEqual({ at: "b", matchedCount: 4 });
  });
});

describe("messages that start in the middle of the path", () => {
  it.each([
    ["at its second turn, to the head", [...B, ...C, more], { at: "c", matchedCount: 4 }],
    ["at its second turn alone", [...B, more], { at: "b", matchedCount: 2 }],
    ["at its last turn", [...C, more], { at: "c", matchedCount: 2 }],
  ])(
    "messages that start in the middle of the path continue the last turn that they repeat: %s",
    (_, messages, expected) => {
      expect(find(messages)).toEqual(expected);
    },
  );

  it("messages that start with a turn beside the path are new", () => {
    expect(find([...D, more]).at).not.toBe("d");
  });
});

describe("messages that start with the head's reply", () => {
  it("messages that start with the head's reply continue the head", () => {
    expect(find([C[1]!, more])).toEqual({ at: "c", matchedCount: 1 });
  });

  it("messages that start with the head's reply may have only its calls, with any text", () => {
    const asked = turn("f", c, [ask("look")], [reply("I look."), call("call_1")]);
    expect(find([call("call_1"), result("call_1")], [a, b, c, asked])).toEqual({ at: "f", matchedCount: 1 });
  });
});

describe("messages that start with calls or results", () => {
  const first = turn("f", undefined, [ask("look")], [call("call_1")]);
  const second = turn("s", undefined, [ask("look")], [call("call_2")]);

  it.each([
    [[result("call_1")], { at: "f", matchedCount: 0 }],
    [[result("call_2")], { at: "s", matchedCount: 0 }],
    [[call("call_1"), result("call_1")], { at: "f", matchedCount: 1 }],
    [[ask("look"), call("call_1"), result("call_1")], { at: "f", matchedCount: 2 }],
    [[ask("look"), call("call_2"), result("call_2")], { at: "s", matchedCount: 2 }],
  ])(
    "calls and results belong to the turn that has the ids, of two with the same question: %j",
    (messages, expected) => {
      for (const path of [[first], [second]]) expect(find(messages, path, [first, second])).toEqual(expected);
    },
  );

  it("calls and results continue the head when no turn has the ids", () => {
    expect(find([result("call_9")], [first], [first, second])).toEqual({ at: "f", matchedCount: 0 });
  });
});

describe("a run whose client sees one answer to its request", () => {
  // f is the step in which the model calls tools of the server; l is the last turn, which has the hashes of what is visible.
  const answer = reply("I look.\n\nDone.");
  const asks = (question: Message, parent: Turn | undefined, visible: Message[]): Turn[] => {
    const called = turn("f", parent, [question], [reply("I look."), call("call_1")]);
    const step: Turn = { ...called, kind: "step" };
    const last = turn("l", step, [result("call_1")], [reply("Done.")]);
    return [step, { ...last, ...hashReply(hashInput(parent?.chain ?? ROOT, [question]), visible) }];
  };
  const [f, l] = asks(ask("look"), a, [answer]) as [Turn, Turn];
  const e = turn("e", l, [ask("thanks")], [reply("bye")]);
  const path = [a, f, l, e];

  it.each([
    ["the whole transcript", [...A, ask("look"), answer, ask("thanks"), reply("bye"), more], path, "e", 6],
    ["the transcript up to the run", [...A, ask("look"), answer, more], path, "l", 4],
    ["the run alone", [ask("look"), answer, more], path, "l", 2],
    ["the run and what follows it", [ask("look"), answer, ask("thanks"), reply("bye"), more], path, "e", 4],
    ["the answer alone", [answer, more], [a, f, l], "l", 1],
  ] as const)(
    "its last turn is continued by messages that have only what is visible: %s",
    (_, sent, turns, at, count) => {
      expect(find([...sent], [...turns], path)).toEqual({ at, matchedCount: count });
    },
  );

  it("its last turn is continued when it is named as the parent", () => {
    expect(findContinuationOf([ask("look"), answer, more], [a, f, l])).toEqual({ at: "l", matchedCount: 2 });
  });

  it("is found by a window that starts with the results of the turn before it", () => {
    const before = turn("p", a, [ask("both")], [call("call_0")]);
    const [step, last] = asks(result("call_0"), before, [answer]) as [Turn, Turn];
    const turns = [a, before, step, last];
    expect(find([result("call_0"), answer, more], turns, turns)).toEqual({ at: "l", matchedCount: 2 });
  });
});

describe("messages with a reply of the path behind a message that the session does not know", () => {
  it("messages with a reply of the path behind an unknown message are an edited transcript, which starts anew", () => {
    expect(find([ask("one, edited"), A[1]!, ...B, more])).toEqual({ at: undefined, matchedCount: 0 });
  });
});

describe("messages that are all new", () => {
  it.each([
    ["one question", [more]],
    ["an exchange that the client wrote itself", [ask("example"), reply("of the client"), more]],
    ["a prefilled reply", [more, reply("It is")]],
  ])("messages that are all new continue the head: %s", (_, messages) => {
    expect(find(messages)).toEqual({ at: "c", matchedCount: 0 });
  });

  it("messages that are all new start an empty session at its root", () => {
    expect(find([more], [], [])).toEqual({ at: undefined, matchedCount: 0 });
  });
});

describe("a call that names its parent", () => {
  it.each([
    ["with new messages only", [more], { at: "b", matchedCount: 0 }],
    ["with the transcript up to it", [...A, ...B, more], { at: "b", matchedCount: 4 }],
    ["with the end of the transcript", [...B, more], { at: "b", matchedCount: 2 }],
    ["with the reply alone", [B[1]!, more], { at: "b", matchedCount: 1 }],
    ["with the transcript of another turn, which is new there", [...A, more], { at: "b", matchedCount: 0 }],
  ])("a call that names its parent continues it with any messages: %s", (_, messages, expected) => {
    expect(findContinuationOf(messages, [a, b])).toEqual(expected);
  });
});
