import { fold } from "../../src/canonical/accumulator.ts";
import type { Block, ModelResponse, StreamEvent } from "../../src/canonical/types.ts";
import type { ReplyContext, WireDialect } from "../../src/dialects/dialect.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";
import { decodeSse } from "../../src/wire/sse.ts";

const { anthropic, gemini, "openai-chat": chat, "openai-responses": responses } = DIALECTS;

export const reply: ReplyContext = { created: 1, includeUsage: true };

/** The marked words by URL, as a client of the wire finds them. */
export type Marks = [url: string, words: string][];

export const source = (url: string): JsonObject => ({ web: { uri: url, title: url } });
export const support = (chunk: number, segment: JsonObject): JsonObject => ({
  segment,
  groundingChunkIndices: [chunk],
});
export const urlCitation = (url: string, start_index: number, end_index: number): JsonObject => ({
  type: "url_citation",
  url_citation: { url, title: url, start_index, end_index },
});
export const search = (url: string): JsonObject => ({
  type: "web_search_result_location",
  url,
  title: url,
  cited_text: "words of the source",
  encrypted_index: "x",
});

export const grounded = (parts: Json[], groundingChunks: Json[], groundingSupports: Json[]): JsonObject => ({
  candidates: [
    {
      content: { role: "model", parts },
      finishReason: "STOP",
      index: 0,
      groundingMetadata: { groundingChunks, groundingSupports },
    },
  ],
  modelVersion: "g",
  responseId: "r",
});

/** Answers with several texts, some repeated, with characters of one to four bytes. */
export const ANSWERS: Record<string, { wire: WireDialect; body: Json; marks: Marks }> = {
  anthropic: {
    wire: anthropic,
    body: {
      id: "msg_1",
      type: "message",
      role: "assistant",
      model: "c",
      content: [
        { type: "thinking", thinking: "Où ? 🙂", signature: "s" },
        { type: "text", text: "Voilà 🙂: " },
        { type: "text", text: "Paris é", citations: [search("u:1")] },
        { type: "text", text: " and " },
        { type: "text", text: "Paris é", citations: [search("u:2"), search("u:3")] },
        { type: "tool_use", id: "t", name: "look", input: {} },
        { type: "text", text: "Fin", citations: [search("u:4")] },
      ],
      stop_reason: "tool_use",
      usage: { input_tokens: 1, output_tokens: 1 },
    },
    marks: [
      ["u:1", "Paris é"],
      ["u:2", "Paris é"],
      ["u:3", "Paris é"],
      ["u:4", "Fin"],
    ],
  },
  "openai-responses": {
    wire: responses,
    body: {
      id: "resp_1",
      object: "response",
      status: "completed",
      model: "o",
      output: [
        { id: "rs_1", type: "reasoning", summary: [{ type: "summary_text", text: "hm" }] },
        {
          id: "msg_1",
          type: "message",
          status: "completed",
          role: "assistant",
          content: [
            {
              type: "output_text",
              text: "é Paris, Paris",
              annotations: [{ type: "url_citation", url: "u:1", title: "1", start_index: 9, end_index: 14 }],
              logprobs: [],
            },
            {
              type: "output_text",
              text: "🙂 Rome",
              annotations: [{ type: "url_citation", url: "u:2", title: "2", start_index: 3, end_index: 7 }],
              logprobs: [],
            },
          ],
        },
      ],
    },
    marks: [
      ["u:1", "Paris"],
      ["u:2", "Rome"],
    ],
  },
  "openai-chat": {
    wire: chat,
    body: {
      id: "c",
      object: "chat.completion",
      model: "o",
      choices: [
        {
          index: 0,
          finish_reason: "stop",
          message: {
            role: "assistant",
            content: [
              { type: "text", text: "é Rome. " },
              { type: "text", text: "Rome again" },
            ],
            annotations: [urlCitation("u:1", 2, 6), urlCitation("u:2", 8, 12), urlCitation("u:3", 6, 12)],
          },
        },
      ],
    },
    marks: [
      ["u:1", "Rome"],
      ["u:2", "Rome"],
      ["u:3", ". "],
      ["u:3", "Rome"],
    ],
  },
  "gemini, counted in its part": {
    wire: gemini,
    body: grounded(
      [
        { text: "Où ?", thought: true },
        { text: "été: Rome, Rome." },
        { functionCall: { name: "look", args: {} } },
        { text: "Rome 🙂 Rome" },
      ],
      [source("u:1"), source("u:2")],
      [
        support(0, { partIndex: 1, startIndex: 13, endIndex: 17, text: "Rome" }),
        support(1, { partIndex: 3, startIndex: 10, endIndex: 14, text: "Rome" }),
        support(1, { partIndex: 3, endIndex: 9, text: "Rome 🙂" }),
      ],
    ),
    marks: [
      ["u:1", "Rome"],
      ["u:2", "Rome"],
      ["u:2", "Rome 🙂"],
    ],
  },
  "gemini, counted in all text": {
    wire: gemini,
    body: grounded(
      [
        { executableCode: { language: "PYTHON", code: "Rome" } },
        { text: "été: Rome, " },
        { codeExecutionResult: { outcome: "OUTCOME_OK", output: "Rome" } },
        { text: "Rome." },
      ],
      [source("u:1"), source("u:2")],
      [
        support(0, { startIndex: 13, endIndex: 17, text: "Rome" }),
        // One byte beside the words.
        support(1, { startIndex: 8, endIndex: 12, text: "Rome" }),
      ],
    ),
    marks: [
      ["u:2", "Rome"],
      ["u:1", "Rome"],
    ],
  },
};

export const blocksOf = ({ messages }: ModelResponse): Block[] => messages.flatMap(({ blocks }) => blocks);
/** Marks with the position in all text of the answer: the right occurrence of repeated words. */
export const positionsOf = (response: ModelResponse): [url: string, start: number, end: number][] => {
  let base = 0;
  return blocksOf(response).flatMap((block) => {
    if (block.kind !== "text") return [];
    const at = base;
    base += block.text.length;
    return (block.citations ?? []).map(({ url, start = 0, end = block.text.length }): [string, number, number] => [
      url!,
      at + start,
      at + end,
    ]);
  });
};
/** Surfaces group the marks by part or by arrival: only their set is the same. */
export const sorted = <T>(marks: readonly T[]): T[] =>
  marks.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
export const textOf = (response: ModelResponse): string =>
  blocksOf(response)
    .map((block) => (block.kind === "text" ? block.text : ""))
    .join("");
export const marksOf = (response: ModelResponse): Marks =>
  positionsOf(response).map(([url, start, end]) => [url, textOf(response).slice(start, end)]);

export const decodeStream = (wire: WireDialect, text: string): StreamEvent[] => {
  const decoder = wire.decodeStream();
  return [...decodeSse(encodeUtf8(text)).flatMap((event) => decoder.push(event)), ...decoder.end()];
};
export const encodeStream = (wire: WireDialect, events: readonly StreamEvent[]): string => {
  const encoder = wire.encodeStream(reply);
  return events.map((event) => encoder.push(event)).join("");
};
/** The answer as a client has it at the end of a stream. Responses repeats it in the last event. */
export const readAgain = (surface: WireDialect, events: readonly StreamEvent[]): ModelResponse => {
  const text = encodeStream(surface, events);
  if (surface !== responses) return fold(decodeStream(surface, text));
  return surface.decodeResponse(dataOf(text).at(-1)!.response!);
};
export const dataOf = (text: string): JsonObject[] =>
  decodeSse(encodeUtf8(text)).flatMap(({ data }) => (data?.startsWith("{") ? [JSON.parse(data) as JsonObject] : []));
