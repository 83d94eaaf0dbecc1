import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StreamAccumulator } from "../../../src/canonical/accumulator.ts";
import { GatewayError } from "../../../src/canonical/error.ts";
import type { Block, ModelResponse, StreamEvent } from "../../../src/canonical/types.ts";
import { DIALECTS } from "../../../src/dialects/index.ts";
import {
  buildContinuationPrompt,
  buildSentEvents,
  ContinuationJoiner,
  recoverableText,
  requireStream,
} from "../../../src/gateway/reply/recovery.ts";
import type { UpstreamAnswer } from "../../../src/gateway/upstream/first-content.ts";
import { StreamReader } from "../../../src/gateway/upstream/stream-reader.ts";
import { encodeUtf8 } from "../../../src/wire/bytes.ts";

/** The reader of a stream of Anthropic that broke. `isOpen`: within its last block. */
function readBroken(blocks: readonly Block[], isOpen: boolean): StreamReader {
  const encoder = DIALECTS.anthropic.encodeStream({ created: 1 });
  const events: StreamEvent[] = [{ type: "start", id: "first", model: "a" }];
  blocks.forEach((block, index) => {
    const text = block.kind === "text" || block.kind === "thinking" ? block.text : "";
    events.push({ type: "open", index, block: text === "" ? block : ({ ...block, text: "" } as Block) });
    if (text !== "") events.push({ type: "delta", index, text });
    if (!isOpen || index < blocks.length - 1) events.push({ type: "close", index, block });
  });
  const reader = new StreamReader(DIALECTS.anthropic.decodeStream());
  reader.push(encodeUtf8(events.map((event) => encoder.push(event)).join("")));
  reader.end();
  return reader;
}

const text = (value: string): Block => ({ kind: "text", text: value });
const thinking = (value: string): Block => ({ kind: "thinking", text: value });

/** The events of an answer with one text, in these pieces. */
const answerOf = (pieces: readonly string[], index = 0): StreamEvent[] => [
  { type: "start", id: "second", model: "b" },
  { type: "open", index, block: { kind: "text", text: "" } },
  ...pieces.map((piece) => ({ type: "delta", index, text: piece }) as const),
  { type: "close", index, block: { kind: "text", text: pieces.join("") } },
  { type: "end", finish: { reason: "stop" }, usage: { output: 3 } },
];

type Joined = { joiner: ContinuationJoiner; sent: StreamEvent[]; received: StreamEvent[] };

function join(reader: StreamReader, second: readonly StreamEvent[]): Joined {
  const joiner = new ContinuationJoiner(reader);
  return { joiner, sent: second.flatMap((event) => joiner.push(event)), received: buildSentEvents(reader) };
}

const deltasOf = (events: readonly StreamEvent[]): string =>
  events.map((event) => (event.type === "delta" ? event.text : "")).join("");

/** What the client has of the whole stream. */
function accumulate(events: readonly StreamEvent[]): StreamAccumulator {
  const accumulator = new StreamAccumulator();
  for (const event of events) accumulator.push(event);
  return accumulator;
}

/** All text of the joined answer. */
const textOf = ({ messages }: Pick<ModelResponse, "messages">): string =>
  messages.flatMap(({ blocks }) => blocks.map((block) => (block.kind === "text" ? block.text : ""))).join("");

/** The text cut at any places. */
const cutAtAnyPlaces = (whole: string): fc.Arbitrary<string[]> =>
  fc.array(fc.nat(whole.length), { maxLength: 8 }).map((places) => {
    const ends = [...new Set([0, ...places, whole.length])].toSorted((a, b) => a - b);
    return ends.slice(1).map((end, i) => whole.slice(ends[i], end));
  });

/** A received text and its rest. They share no characters, so nothing is repeated by coincidence. */
const texts = fc.record({
  received: fc.string({ unit: fc.constantFrom("a", "b", "é", " "), maxLength: 300 }).map((tail) => `Begin: ${tail}`),
  rest: fc.string({ unit: fc.constantFrom("x", "y", "ü", "."), minLength: 1, maxLength: 60 }),
});

/** A broken stream, the whole second answer, and its pieces. */
const restarts = texts.chain(({ received, rest }) =>
  fc.record({
    received: fc.constant(received),
    rest: fc.constant(rest),
    pieces: cutAtAnyPlaces(received + rest),
    isOpen: fc.boolean(),
  }),
);
const continuations = texts.chain(({ received, rest }) =>
  fc
    .constantFrom(0, 4, 12, 200)
    .map((repeated) => (repeated === 0 ? "" : received.slice("Begin: ".length).slice(-repeated)))
    // A repetition of less than four characters counts as new text.
    .map((repeated) => (repeated.length < 4 ? "" : repeated))
    .chain((repeated) =>
      fc.record({
        received: fc.constant(received),
        rest: fc.constant(rest),
        pieces: cutAtAnyPlaces(repeated + rest),
        isOpen: fc.boolean(),
      }),
    ),
);

describe("recoverableText", () => {
  it("recoverableText returns all text of an answer of texts and reasoning", () => {
    const blocks = fc.array(
      fc.oneof(
        fc.string({ minLength: 1 }).map((value) => text(value)),
        fc.string({ minLength: 1 }).map((value) => thinking(value)),
      ),
    );
    fc.assert(
      fc.property(blocks, (all) => {
        const events = all.flatMap((block, index): StreamEvent[] => [
          { type: "open", index, block },
          { type: "close", index, block },
        ]);
        const expected = all.map((block) => (block.kind === "text" ? block.text : "")).join("");
        expect(recoverableText(accumulate(events))).toBe(expected);
      }),
    );
  });

  it("recoverableText returns undefined once a part of a call or of a block of one provider was received", () => {
    const call: Block = { kind: "tool_call", id: "c", name: "f", arguments: "" };
    const opaque: Block = { kind: "opaque", label: "x", native: { dialect: "anthropic", item: {} } };
    for (const block of [call, opaque])
      expect(
        recoverableText(
          accumulate([
            { type: "open", index: 0, block: text("Hi") },
            { type: "open", index: 1, block },
          ]),
        ),
      ).toBeUndefined();
  });
});

describe("buildContinuationPrompt", () => {
  it("a continuation prompt is empty if nothing was received, and otherwise has the text and a user message", () => {
    expect(buildContinuationPrompt("")).toEqual([]);
    const [answer, instruction, ...more] = buildContinuationPrompt("Rome is");
    expect(answer).toEqual({ role: "assistant", blocks: [text("Rome is")] });
    expect([instruction!.role, more]).toEqual(["user", []]);
  });
});

describe("a second answer that starts over", () => {
  it("a second answer that starts over adds the rest of its text, in any pieces", () => {
    fc.assert(
      fc.property(restarts, ({ received, rest, pieces, isOpen }) => {
        const { joiner, sent } = join(readBroken([text(received)], isOpen), answerOf(pieces));
        expect([joiner.kind, deltasOf(sent)]).toEqual(["restart", rest]);
      }),
    );
  });

  it("a second answer is refused if it differs after a start that is too long for a coincidence", () => {
    fc.assert(
      fc.property(fc.integer({ min: 24, max: 80 }), cutAtAnyPlaces("and more of another kind"), (same, pieces) => {
        const start = "a".repeat(same);
        const joiner = new ContinuationJoiner(readBroken([text(`${start}, as was said`)], true));
        const push = (): void => answerOf([start, "!", ...pieces]).forEach((event) => joiner.push(event));
        expect(push).toThrow(expect.objectContaining({ code: "stream.interrupted" }));
      }),
    );
  });
});

describe("a second answer that continues", () => {
  it("a second answer that continues adds its text without what repeats the end of the first, in any pieces", () => {
    fc.assert(
      fc.property(continuations, ({ received, rest, pieces, isOpen }) => {
        const { joiner, sent } = join(readBroken([text(received)], isOpen), answerOf(pieces));
        expect([joiner.kind, deltasOf(sent)]).toEqual(["continuation", rest]);
      }),
    );
  });

  it.each([4, 200])("a second answer that continues may repeat %d characters", (repeated) => {
    const received = Array.from({ length: 100 }, (_, i) => `${i},`).join("");
    const { sent } = join(readBroken([text(received)], true), answerOf([received.slice(-repeated), "end"]));
    expect(deltasOf(sent)).toBe("end");
  });

  it("a second answer that continues may be too short to recognize a repetition", () => {
    const { joiner, sent } = join(readBroken([text("Rome is the capital of Italy and")], true), answerOf(["."]));
    expect([joiner.kind, deltasOf(sent)]).toEqual(["continuation", "."]);
  });
});

describe("a joined stream", () => {
  it("a joined stream has the text of the joined answer, one close for each text, and one end", () => {
    fc.assert(
      fc.property(fc.oneof(restarts, continuations), fc.boolean(), ({ received, rest, pieces, isOpen }, thinks) => {
        const first = [...(thinks ? [thinking("Hm.")] : []), text(received)];
        const reader = readBroken(first, isOpen);
        const { joiner, sent, received: before } = join(reader, answerOf(pieces));
        const whole = accumulate([...before, ...sent]);
        const answer = joiner.toResponse(whole, accumulate(answerOf(pieces)).response!);
        expect(textOf(whole)).toBe(received + rest);
        expect(textOf(answer)).toBe(received + rest);
        expect([whole.isOpen, whole.hasEnded]).toEqual([false, true]);
        const all = [...before, ...sent];
        const count = (type: StreamEvent["type"]): number => all.filter((event) => event.type === type).length;
        expect([count("start"), count("open") - count("close"), count("end")]).toEqual([1, 0, 1]);
        expect(sent.at(-1)!.type).toBe("end");
      }),
    );
  });

  it("a joined answer has the id and the reasoning of the first one, and the end of the second one", () => {
    const { joiner, sent, received } = join(readBroken([thinking("Hm."), text("Rome")], true), answerOf([" is old."]));
    const whole = accumulate([...received, ...sent]);
    const answer = joiner.toResponse(whole, accumulate(answerOf([" is old."])).response!);
    expect(answer).toMatchObject({ id: "msg_first", model: "b", finish: { reason: "stop" }, usage: { output: 3 } });
    expect(answer.messages).toEqual([{ role: "assistant", blocks: [thinking("Hm."), text("Rome is old.")] }]);
  });

  it("a joined stream has no reasoning of the second answer", () => {
    const second: StreamEvent[] = [
      { type: "open", index: 0, block: thinking("") },
      { type: "delta", index: 0, text: "Let me see." },
      { type: "close", index: 0, block: thinking("Let me see.") },
      ...answerOf([" is old."], 1).slice(1),
    ];
    const { sent } = join(readBroken([text("Rome")], true), second);
    expect(deltasOf(sent)).toBe(" is old.");
  });

  it("a joined stream opens a text of its own after texts that the client has whole", () => {
    const { sent } = join(readBroken([text("Rome. ")], false), answerOf(["Oslo."]));
    expect(sent.slice(0, 2)).toEqual([
      { type: "open", index: 1, block: text("") },
      { type: "delta", index: 1, text: "Oslo." },
    ]);
  });

  it("a second answer that is a call, or no stream, is refused", () => {
    const joiner = new ContinuationJoiner(readBroken([text("Rome")], true));
    const open: StreamEvent = {
      type: "open",
      index: 0,
      block: { kind: "tool_call", id: "c", name: "f", arguments: "" },
    };
    expect(() => joiner.push(open)).toThrow(GatewayError);
    expect(() => requireStream({ response: {} } as UpstreamAnswer)).toThrow(
      expect.objectContaining({ code: "stream.interrupted" }),
    );
  });
});
