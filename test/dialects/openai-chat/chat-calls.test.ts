import { describe, expect, it } from "vitest";
import { fold } from "../../../src/canonical/accumulator.ts";
import type { ModelResponse } from "../../../src/canonical/types.ts";
import { DIALECTS } from "../../../src/dialects/index.ts";
import { openaiChat } from "../../../src/dialects/openai-chat/index.ts";
import { encodeUtf8 } from "../../../src/wire/bytes.ts";
import type { Json, JsonObject } from "../../../src/wire/json.ts";
import { decodeSse } from "../../../src/wire/sse.ts";
import {
  piece,
  text,
  reasoning,
  chunk,
  DONE,
  eventsOf,
  answerOf,
  blocksOf,
  callsOf,
  textOf,
  nativeCallsOf,
  A,
  B,
  LOOK,
} from "../../support/chat-chunks.ts";

describe("a tool call of a Chat stream", () => {
  it.each<[string, JsonObject[]]>([
    ["all at once", [piece(0, { name: "look", arguments: '{"x":1}' }, { id: "a", type: "function" })]],
    [
      "a name that is empty first",
      [piece(0, { name: "", arguments: "" }, { id: "a" }), piece(0, { name: "look", arguments: '{"x":1}' })],
    ],
    [
      "a name that is null first",
      [
        piece(0, { name: null, arguments: null }, { id: "a" }),
        piece(0, { name: "look" }),
        piece(0, { arguments: '{"x":1}' }),
      ],
    ],
    [
      "a name behind all arguments",
      [piece(0, { arguments: '{"x"' }, { id: "a" }), piece(0, { arguments: ":1}" }), piece(0, { name: "look" })],
    ],
    [
      "no function in its first delta",
      [{ tool_calls: [{ index: 0, id: "a", type: "function" }] }, piece(0, { name: "look", arguments: '{"x":1}' })],
    ],
    [
      "an id in the second delta",
      [piece(0, { name: "look", arguments: "" }), piece(0, { arguments: '{"x":1}' }, { id: "a", type: "function" })],
    ],
    [
      "an id that is empty first, and no index",
      [piece(undefined, LOOK, { id: "" }), piece(undefined, { arguments: '{"x":1}' }, { id: "a" })],
    ],
    [
      "an id behind all arguments",
      [piece(0, { name: "look", arguments: '{"x":1}' }, { id: null }), piece(0, { arguments: "" }, { id: "a" })],
    ],
    [
      "name and id in every delta",
      [
        piece(0, LOOK, { id: "a" }),
        piece(0, { name: "look", arguments: '{"x"' }, { id: "a" }),
        piece(0, { name: "look", arguments: ":1}" }, { id: "a" }),
        piece(0, LOOK, { id: "a" }),
      ],
    ],
    [
      "a random id in every later delta",
      [
        piece(0, { name: "look", arguments: "{" }, { id: "a" }),
        piece(0, { arguments: '"x":1' }, { id: "r1" }),
        piece(0, { arguments: "}" }, { id: "r2" }),
      ],
    ],
    [
      "empty deltas behind it",
      [
        piece(0, LOOK, { id: "a" }),
        piece(0, { arguments: '{"x":1}' }),
        piece(0, { arguments: "" }),
        piece(0, { name: "", arguments: "" }, { id: "" }),
        piece(1, { arguments: "" }),
      ],
    ],
    [
      "a custom member that is empty",
      [
        { tool_calls: [{ index: 0, id: "a", custom: { input: "", name: "" }, function: LOOK }] },
        piece(0, { arguments: '{"x":1}' }),
        { tool_calls: [{ index: 0, custom: null, function: { arguments: "" } }] },
      ],
    ],
  ])("a tool call of a Chat stream is one call with %s", (_, deltas) => {
    const answer = answerOf(deltas);
    expect(callsOf(answer)).toEqual([A]);
    expect(answer.finish.reason).toBe("tool_calls");
    expect(nativeCallsOf(answer)).toMatchObject([{ id: "a", function: { name: "look", arguments: '{"x":1}' } }]);
    expect(openaiChat.encodeMessages(answer.messages, { dialect: openaiChat.id, model: "m" }).losses).toEqual([]);
  });

  it.each<[string, JsonObject, (answer: ModelResponse) => string, string]>([
    ["a text", text("so"), textOf, "so"],
    ["a line break", text("\n"), textOf, "\n"],
    ["reasoning", reasoning("hm"), (answer) => textOf(answer, "thinking"), "hm"],
    ["a text part", { content: [{ type: "text", text: "so" }] }, textOf, "so"],
    ["a refusal", { refusal: "no" }, textOf, "no"],
    ["an empty text", text(""), textOf, ""],
  ])(
    "a tool call of a Chat stream is one call with %s at any place among its pieces, and that is not lost",
    (_, other, read, expected) => {
      const pieces = [piece(0, LOOK, { id: "a" }), piece(0, { arguments: '{"x"' }), piece(0, { arguments: ":1}" })];
      for (let at = 0; at <= pieces.length; at++) {
        const answer = answerOf(pieces.toSpliced(at, 0, other));
        expect([at, callsOf(answer), read(answer)]).toEqual([at, [A], expected]);
      }
      const everywhere = answerOf(pieces.flatMap((one) => [other, one, other]));
      expect([callsOf(everywhere), read(everywhere)]).toEqual([[A], expected.repeat(6)]);
    },
  );

  it("a tool call of a Chat stream opens with its name and id, and one block is open at a time", () => {
    const deltas = [
      piece(0, { name: "", arguments: "{" }),
      text("so "),
      piece(0, { name: "look", arguments: '"x"' }, { id: "a" }),
      text("be it"),
      piece(0, { arguments: ":1}" }),
      text("."),
    ];
    const events = eventsOf([...deltas.map((delta) => chunk(delta)), chunk({}, "tool_calls"), DONE]);
    const opened = events.flatMap((event) => (event.type === "open" ? [event.block] : []));
    expect(opened).toMatchObject([{ kind: "text" }, { kind: "tool_call", id: "a", name: "look" }, { kind: "text" }]);
    let open: number | undefined;
    for (const event of events) {
      if (event.type === "open") expect(open).toBeUndefined();
      if (event.type === "delta" || event.type === "close") expect(event.index).toBe(open);
      if (event.type === "open") open = event.index;
      if (event.type === "close") open = undefined;
    }
    expect(textOf(fold(events))).toBe("so be it.");
  });

  it("a text behind the complete arguments of a Chat stream's call is not held back", () => {
    const decoder = openaiChat.decodeStream();
    const push = (delta: JsonObject) =>
      decodeSse(encodeUtf8(`data: ${JSON.stringify(chunk(delta))}\n\n`)).flatMap((event) => decoder.push(event));
    push(piece(0, { name: "look", arguments: '{"x":' }, { id: "a" }));
    expect(push(text("so"))).toEqual([]);
    expect(push(piece(0, { arguments: "1}" })).map(({ type }) => type)).toEqual(["delta", "close", "open", "delta"]);
    expect(push(text("!"))).toEqual([{ type: "delta", index: 1, text: "!" }]);
  });

  it("the log probabilities of a text are at the text, also if it waits for a tool call", () => {
    const logprobs = { content: [{ token: "so", logprob: -1, top_logprobs: [] }] };
    const withLogprobs = {
      ...chunk(text("so")),
      choices: [{ index: 0, delta: text("so"), logprobs, finish_reason: null }],
    };
    const answer = fold(
      eventsOf([
        chunk(piece(0, { name: "look", arguments: '{"x"' }, { id: "a" })),
        withLogprobs,
        chunk(piece(0, { arguments: ":1}" }), "tool_calls"),
        DONE,
      ]),
    );
    expect(blocksOf(answer)).toMatchObject([{ kind: "tool_call" }, { text: "so", logprobs: [{ token: "so" }] }]);
  });
});

describe("several tool calls of a Chat stream", () => {
  const pieces = (index: (call: number) => number | undefined, repeatsId: boolean): JsonObject[][] =>
    [A, B].map(([id, name, args], call) => [
      piece(index(call), { name: name!, arguments: "" }, { id: id! }),
      ...[args!.slice(0, 3), args!.slice(3)].map((part) =>
        piece(index(call), { arguments: part }, repeatsId ? { id: id! } : {}),
      ),
    ]);

  it.each<[string, JsonObject[][]]>([
    ["by index", pieces((call) => call, false)],
    ["by index from 1", pieces((call) => call + 1, false)],
    ["by id at index 0", pieces(() => 0, true)],
    ["by id without an index", pieces(() => undefined, true)],
  ])("several tool calls of a Chat stream, identified %s, are separate in any interleaving", (_, [a, b]) => {
    for (const order of interleavings(a!, b!)) {
      const answer = answerOf(order);
      expect(callsOf(answer).toSorted(([a], [b]) => a!.localeCompare(b!))).toEqual([A, B]);
      expect(nativeCallsOf(answer)).toHaveLength(2);
    }
  });

  it.each<[string, JsonObject[]]>([
    [
      "at index 0 with ids",
      [
        piece(0, { name: "look", arguments: A[2]! }, { id: "a" }),
        piece(0, { name: "find", arguments: B[2]! }, { id: "b" }),
      ],
    ],
    [
      "in one delta without an index",
      [{ tool_calls: [A, B].map(([id, name, args]) => ({ id: id!, function: { name: name!, arguments: args! } })) }],
    ],
    [
      "with a late id and the same index",
      [
        piece(0, { name: "look", arguments: A[2]! }, { id: "a" }),
        piece(0, { name: "find", arguments: '{"y"' }),
        piece(0, { arguments: ":2}" }, { id: "b" }),
      ],
    ],
    [
      "with a late name and the same index",
      [
        piece(0, { name: "look", arguments: A[2]! }, { id: "a" }),
        piece(0, { arguments: "" }, { id: "b" }),
        piece(0, { name: "find", arguments: B[2]! }, { id: "b" }),
      ],
    ],
    [
      "with an empty delta of the first one at the end",
      [
        piece(0, { name: "look", arguments: A[2]! }, { id: "a" }),
        piece(1, { name: "find", arguments: B[2]! }, { id: "b" }),
        piece(0, { arguments: "" }),
        piece(1, { arguments: "" }),
      ],
    ],
  ])("several tool calls of a Chat stream are separate %s", (_, deltas) => {
    expect(callsOf(answerOf(deltas))).toEqual([A, B]);
  });

  it("tool calls of one id and name at one index of a Chat stream are separate by their arguments", () => {
    const same = (args: string): JsonObject => piece(0, { name: "look", arguments: args }, { id: "call_0" });
    expect(callsOf(answerOf([same('{"x":1}'), same('{"x":2}')])).map(([, , args]) => args)).toEqual([
      '{"x":1}',
      '{"x":2}',
    ]);
  });

  it("a call of a custom tool in a Chat stream has its whole input", () => {
    const custom = (input: string, members: JsonObject = {}): JsonObject => ({
      tool_calls: [{ index: 0, ...members, custom: { ...(members.id !== undefined && { name: "patch" }), input } }],
    });
    const answer = answerOf([custom("", { id: "a", type: "custom" }), custom("*** Be"), text("\n"), custom("gin\n")]);
    expect(callsOf(answer)).toEqual([["a", "patch", '{"input":"*** Begin\\n"}']]);
    expect(nativeCallsOf(answer)).toEqual([
      { id: "a", type: "custom", custom: { name: "patch", input: "*** Begin\n" } },
    ]);
  });
});

describe("a tool call without a name", () => {
  const nameless = piece(0, { arguments: '{"x":1}' }, { id: "n" });
  const whole = (message: JsonObject, finish_reason: Json): JsonObject => ({
    id: "chatcmpl-1",
    model: "m",
    choices: [{ index: 0, message: { role: "assistant", content: null, ...message }, finish_reason }],
  });
  const LOSS = { at: "tool_calls", what: "dropped" };

  it("a tool call without a name is left out of an answer with another call, streamed and whole, with a loss", () => {
    const deltas = [nameless, piece(1, { name: "find", arguments: B[2]! }, { id: "b" })];
    const calls = [
      { id: "n", type: "function", function: { name: null, arguments: '{"x":1}' } },
      { id: "b", type: "function", function: { name: "find", arguments: B[2]! } },
    ];
    for (const answer of [answerOf(deltas), openaiChat.decodeResponse(whole({ tool_calls: calls }, "tool_calls"))]) {
      expect(callsOf(answer)).toEqual([B]);
      expect(nativeCallsOf(answer)).toMatchObject([{ id: "b" }]);
      expect(answer.losses).toMatchObject([LOSS]);
      for (const target of Object.values(DIALECTS))
        expect(
          JSON.stringify(target.encodeMessages(answer.messages, { dialect: target.id, model: "m" }).value),
        ).not.toContain('"x');
    }
  });

  it("an answer with a text and a tool call without a name ends as a text", () => {
    const calls = [{ id: "n", type: "function", function: { name: "", arguments: "{}" } }];
    const streamed = answerOf([text("so"), nameless]);
    for (const answer of [
      streamed,
      openaiChat.decodeResponse(whole({ content: "so", tool_calls: calls }, "tool_calls")),
    ]) {
      expect([textOf(answer), callsOf(answer), answer.finish.reason]).toEqual(["so", [], "stop"]);
      expect(answer.messages[0]!.native!.item).not.toHaveProperty("tool_calls");
    }
  });

  it("an answer with only a tool call without a name is empty and does not end with calls", () => {
    const calls = [{ id: "n", type: "function", function: { arguments: "{}" } }];
    for (const answer of [
      answerOf([nameless]),
      openaiChat.decodeResponse(whole({ tool_calls: calls }, "tool_calls")),
    ]) {
      expect([blocksOf(answer), answer.finish.reason]).toEqual([[], "stop"]);
      expect(answer.losses).toMatchObject([LOSS, { at: "finish_reason", what: "approximated" }]);
    }
  });

  it("a tool call without a name, an id and arguments is no loss", () => {
    const answer = answerOf([text("so"), piece(0, { name: "", arguments: "" })], "stop");
    expect([textOf(answer), callsOf(answer), answer.losses]).toEqual(["so", [], undefined]);
  });
});

/** Every order of two lists that leaves each of them in its own order. */
function interleavings(a: readonly JsonObject[], b: readonly JsonObject[]): JsonObject[][] {
  if (a.length === 0 || b.length === 0) return [[...a, ...b]];
  return [
    ...interleavings(a.slice(1), b).map((rest) => [a[0]!, ...rest]),
    ...interleavings(a, b.slice(1)).map((rest) => [b[0]!, ...rest]),
  ];
}
