import { describe, expect, it } from "vitest";
import { fold } from "../../../src/canonical/accumulator.ts";
import type { StreamEvent } from "../../../src/canonical/types.ts";
import { DIALECTS } from "../../../src/dialects/index.ts";
import { withIdentity } from "../../../src/gateway/reply/client-answer.ts";
import { TranslationWriter } from "../../../src/gateway/reply/writers.ts";
import { NO_EVENT } from "../../../src/gateway/upstream/stream-reader.ts";
import { concatBytes, encodeUtf8 } from "../../../src/wire/bytes.ts";
import type { JsonObject } from "../../../src/wire/json.ts";
import { decodeSse } from "../../../src/wire/sse.ts";

const REPLY = { created: 1, model: "model-a", call: { id: "call_1", sessionId: "sess_1" } };
const { "openai-chat": chat, "openai-responses": responses, anthropic, gemini } = DIALECTS;

/** Streams of providers that leave out the id and the model, as events of their wires. */
const STREAMS: [name: string, events: StreamEvent[]][] = [
  [
    "Responses without response.created",
    read(responses, [
      {
        type: "response.output_item.added",
        output_index: 0,
        item: { type: "message", id: "msg_1", role: "assistant", content: [] },
      },
      { type: "response.output_text.delta", output_index: 0, content_index: 0, item_id: "msg_1", delta: "so" },
      { type: "response.completed", response: { status: "completed", output: [] } },
    ]),
  ],
  [
    "Chat without id and model",
    read(chat, [{ choices: [{ index: 0, delta: { content: "so" }, finish_reason: "stop" }] }]),
  ],
  [
    "Gemini without responseId and modelVersion",
    read(gemini, [{ candidates: [{ content: { role: "model", parts: [{ text: "so" }] }, finishReason: "STOP" }] }]),
  ],
];

describe.each(STREAMS)("an answer of %s", (_, events) => {
  it.each(Object.values(DIALECTS))(
    "an answer without an id and a model gets both in $id, streamed and whole",
    (surface) => {
      const writer = new TranslationWriter({ surface, reply: REPLY });
      const bytes = concatBytes([writer.push(NO_EVENT, events), writer.end({})]);
      const decoder = surface.decodeStream();
      const streamed = fold([...decodeSse(bytes).flatMap((event) => decoder.push(event)), ...decoder.end()]);
      const whole = surface.decodeResponse(surface.encodeResponse(withIdentity(fold(events), REPLY), REPLY));
      for (const { id, model } of [streamed, whole]) expect([id === "", model]).toEqual([false, "model-a"]);
    },
  );

  it("an answer without an id and a model gets the same ones in every chunk of Chat", () => {
    const writer = new TranslationWriter({ surface: chat, reply: REPLY });
    const sent = decodeSse(concatBytes([writer.push(NO_EVENT, events), writer.end({})]));
    const chunks = sent.flatMap(({ data = "" }) => (data.startsWith("{") ? [JSON.parse(data) as JsonObject] : []));
    expect(chunks.length).toBeGreaterThan(1);
    for (const chunk of chunks) expect(chunk).toMatchObject({ id: "call_1", model: "model-a" });
  });
});

describe("an answer with an id and a model", () => {
  it("an answer with an id and a model keeps both", () => {
    const answer = { id: "chatcmpl-1", model: "model-b" };
    expect(withIdentity(answer, REPLY)).toBe(answer);
    expect(withIdentity({ id: "chatcmpl-1", model: "" }, REPLY)).toEqual({ id: "chatcmpl-1", model: "model-a" });
  });

  it("an answer has the id and model of the first chunk with choices if the first chunk of all has none (Azure)", () => {
    const filter = { id: "", model: "", object: "", choices: [], prompt_filter_results: [] };
    const chunk = {
      id: "chatcmpl-1",
      model: "model-b",
      choices: [{ index: 0, delta: { content: "so" }, finish_reason: "stop" }],
    };
    const [start] = read(chat, [filter, chunk]);
    expect(start).toEqual({ type: "start", id: "chatcmpl-1", model: "model-b" });
  });
});

function read(wire: typeof anthropic, events: readonly JsonObject[]): StreamEvent[] {
  const decoder = wire.decodeStream();
  const sse = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
  return [...decodeSse(encodeUtf8(sse)).flatMap((event) => decoder.push(event)), ...decoder.end()];
}
