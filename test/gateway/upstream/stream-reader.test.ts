import { describe, expect, it } from "vitest";
import { anthropic } from "../../../src/dialects/anthropic/index.ts";
import { gemini } from "../../../src/dialects/gemini/index.ts";
import { openaiChat } from "../../../src/dialects/openai-chat/index.ts";
import { openaiResponses } from "../../../src/dialects/openai-responses/index.ts";
import type { UpstreamCall } from "../../../src/gateway/call/upstream-call.ts";
import { idleLimit, readChunks } from "../../../src/gateway/upstream/body-reader.ts";
import { StreamReader } from "../../../src/gateway/upstream/stream-reader.ts";
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../../src/wire/bytes.ts";

const chunk = (delta: object, finish_reason: string | null = null): string =>
  `data: ${JSON.stringify({ id: "x", model: "m", choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
const WORDS = chunk({ content: "Hello" });
const FINISH = chunk({}, "stop");
const DONE = "data: [DONE]\n\n";

describe("the end mark of a stream", () => {
  const event = (type: string, more: object = {}): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
  const gem = (more: object = {}): string =>
    `data: ${JSON.stringify({ candidates: [{ content: { parts: [{ text: "Hello" }] }, ...more }] })}\n\n`;

  it.each([
    ["chat", openaiChat, WORDS + FINISH, DONE],
    ["messages", anthropic, event("message_start", { message: {} }), event("message_stop")],
    [
      "responses",
      openaiResponses,
      event("response.created", { response: {} }),
      event("response.completed", { response: { output: [] } }),
    ],
    ["gemini", gemini, gem(), gem({ finishReason: "STOP" })],
  ])("the end mark of a stream is the last event of %s, not the end of the connection", (_, dialect, before, mark) => {
    for (const [bytes, hasMark] of [
      [before, false],
      [before + mark, true],
      [(before + mark).trimEnd(), true],
      [`${before}${mark}data: {nonsense\n\n`, true],
      [`${before}event: error\ndata: overloaded\n\n${mark}`, dialect !== gemini],
    ] as const) {
      const reader = new StreamReader(dialect.decodeStream());
      reader.push(encodeUtf8(bytes));
      reader.end();
      expect([bytes, reader.hasEndMark]).toEqual([bytes, hasMark]);
    }
  });

  it("the end mark is added to an answer that ended without a blank line", () => {
    const reader = new StreamReader(openaiChat.decodeStream());
    const read = [...reader.push(encodeUtf8(WORDS + FINISH.trimEnd())), ...reader.end()];
    expect(decodeUtf8(concatBytes(read.map(({ event }) => event.raw)))).toBe(WORDS + FINISH + DONE);
    expect(reader.accumulated.response).toMatchObject({ finish: { reason: "stop" } });
  });
});

describe("a chunk that was in flight at the deadline", () => {
  /** Reads words, and after the deadline one more chunk. */
  async function readLate(last: string): Promise<StreamReader> {
    const reader = new StreamReader(openaiChat.decodeStream());
    const givenUp = Promise.withResolvers<void>();
    const chunks = [Promise.resolve(WORDS), givenUp.promise.then(() => last)];
    const upstreamCall = {
      upstream: new Response(null),
      limits: { idle: 60_000, giveUpAt: Date.now() + 20, now: Date.now },
      cancel: givenUp.resolve,
      destination: {},
    } as unknown as UpstreamCall;
    const source = {
      read: async () => {
        const next = await chunks.shift();
        return next === undefined ? { done: true, value: undefined } : { done: false, value: encodeUtf8(next) };
      },
      releaseLock: () => {},
    };
    const log = { markFirstByte: () => {} };
    for await (const bytes of readChunks(upstreamCall, log, idleLimit(upstreamCall, reader), source))
      reader.push(bytes);
    return reader;
  }

  it("a chunk that was in flight at the deadline completes the answer that it ends", async () => {
    const reader = await readLate(FINISH + DONE);
    reader.end();
    expect(reader.accumulated.response).toMatchObject({ finish: { reason: "stop" } });
  });

  it("a chunk that was in flight at the deadline does not save an answer that it does not end", async () => {
    await expect(readLate(WORDS)).rejects.toMatchObject({ code: "provider.timeout" });
  });
});
