import { describe, expect, it } from "vitest";
import { fold, unfold } from "../../src/canonical/accumulator.ts";
import type { Alternative, Logprob, ModelResponse } from "../../src/canonical/types.ts";
import type { WireDialect } from "../../src/dialects/dialect.ts";
import { gemini } from "../../src/dialects/gemini/index.ts";
import { native } from "../../src/dialects/native/index.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { openaiResponses } from "../../src/dialects/openai-responses/index.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import { decodeSse } from "../../src/wire/sse.ts";
import { callsOf } from "../support/answered-calls.ts";
import { recordings } from "../support/recordings.ts";

const REPLY = { created: 1 };

const answersOf = (wire: WireDialect): ModelResponse[] =>
  recordings(wire.id).flatMap(({ body, status }) =>
    body !== undefined && status === 200 ? [wire.decodeResponse(body)] : [],
  );

/** As the other wire says it, whole and streamed. */
function throughWire(answer: ModelResponse, wire: WireDialect): ModelResponse[] {
  const encoder = wire.encodeStream(REPLY);
  const decoder = wire.decodeStream();
  const sse = unfold(answer).map((event) => encoder.push(event));
  const events = decodeSse(encodeUtf8(sse.join(""))).flatMap((event) => decoder.push(event));
  return [wire.decodeResponse(wire.encodeResponse(answer, REPLY)), fold([...events, ...decoder.end()])];
}

const saidIn = ({ messages, finish }: Alternative): unknown => ({
  finish: finish.reason,
  said: messages
    .flatMap(({ blocks }) => blocks)
    .map((block) => (block.kind === "text" ? block.text : block.kind === "tool_call" ? block.name : block.kind)),
});

describe.each([
  [openaiChat, gemini],
  [gemini, openaiChat],
])("several answers", (from, to) => {
  it(`several answers of ${from.id} are several in ${to.id}, whole and streamed`, () => {
    const several = answersOf(from).filter(({ alternatives }) => alternatives !== undefined);
    expect(several.length).toBeGreaterThan(0);
    for (const answer of several)
      for (const again of throughWire(answer, to))
        expect((again.alternatives ?? []).map(saidIn)).toEqual(answer.alternatives!.map(saidIn));
  });
});

/** Two answers with a call that has no id, on both wires. */
const CALLS_WITHOUT_ID = {
  "openai-chat": {
    choices: [0, 1].map((index) => ({
      index,
      message: { role: "assistant", tool_calls: [{ type: "function", function: { name: "look", arguments: "{}" } }] },
      finish_reason: "tool_calls",
    })),
  },
  gemini: {
    candidates: [0, 1].map((index) => ({
      index,
      content: { role: "model", parts: [{ functionCall: { name: "look", args: {} } }] },
      finishReason: "STOP",
    })),
  },
};

describe.each([openaiChat, gemini])("calls without ids in several answers of $id", (wire) => {
  it("calls without ids in several answers get unique ids, equal whole and streamed, others in another call", () => {
    const whole = CALLS_WITHOUT_ID[wire.id as keyof typeof CALLS_WITHOUT_ID];
    const chunk = JSON.parse(JSON.stringify(whole).replaceAll('"message"', '"delta"'));
    const idsOf = (callId: string): string[][] => {
      const decoder = wire.decodeStream("home", callId);
      const events = decodeSse(encodeUtf8(`data: ${JSON.stringify(chunk)}\n\n`)).flatMap((one) => decoder.push(one));
      return [wire.decodeResponse(whole, "home", callId), fold([...events, ...decoder.end()])].map((answer) =>
        [answer, ...answer.alternatives!]
          .flatMap(({ messages }) => callsOf({ ...answer, messages }))
          .map(({ id }) => id),
      );
    };
    const [first, second] = [idsOf("call_1"), idsOf("call_2")];
    expect([first[1], second[1]]).toEqual([first[0], second[0]]);
    expect(new Set([...first[0]!, ...second[0]!]).size).toBe(4);
  });
});

const tokensOf = ({ messages }: ModelResponse): Pick<Logprob, "token" | "logprob">[] =>
  messages
    .flatMap(({ blocks }) => blocks)
    .flatMap((block) => (block.kind === "text" ? (block.logprobs ?? []) : []))
    .map(({ token, logprob }) => ({ token, logprob }));

describe.each([openaiChat, openaiResponses, gemini, native])("logprobs of openai-chat in $id", (wire) => {
  it("the log probabilities of a Chat answer are those of the same tokens, whole and streamed", () => {
    const told = answersOf(openaiChat).filter((answer) => tokensOf(answer).length > 0);
    expect(told.length).toBeGreaterThan(0);
    for (const answer of told) {
      const [whole, streamed] = throughWire(answer, wire) as [ModelResponse, ModelResponse];
      expect(tokensOf(whole)).toEqual(tokensOf(answer));
      // Of a native stream the last event has the blocks whole; the deltas before it have their words alone.
      if (wire !== native) expect(tokensOf(streamed)).toEqual(tokensOf(answer));
    }
  });
});
