import { describe, expect, it } from "vitest";
import { fold } from "../../../src/canonical/accumulator.ts";
import type { Block, ModelResponse, StreamEvent } from "../../../src/canonical/types.ts";
import type { WireDialect } from "../../../src/dialects/dialect.ts";
import { DIALECTS } from "../../../src/dialects/index.ts";
import { findCitationLosses } from "../../../src/gateway/reply/citation-losses.ts";
import { buildSentEvents, ContinuationJoiner } from "../../../src/gateway/reply/recovery.ts";
import { StreamReader } from "../../../src/gateway/upstream/stream-reader.ts";
import { encodeUtf8 } from "../../../src/wire/bytes.ts";
import type { JsonObject } from "../../../src/wire/json.ts";
import { decodeSse } from "../../../src/wire/sse.ts";

/** Marked words by the source that they cite. */
type Marks = [source: string, words: string][];
const { anthropic, gemini, native, "openai-chat": chat, "openai-responses": responses } = DIALECTS;
const reply = { created: 1, id: "resp_1" };

const data = (value: JsonObject): string => `data: ${JSON.stringify(value)}\n\n`;
const citation = (url: string): JsonObject => ({
  type: "web_search_result_location",
  url,
  title: url,
  cited_text: url,
  encrypted_index: "",
});
const block = (index: number, content: JsonObject): string =>
  data({ type: "content_block_start", index, content_block: content });
const delta = (index: number, more: JsonObject): string => data({ type: "content_block_delta", index, delta: more });
const text = { type: "text", text: "" };

/** One text with its citation that the client has whole, and one that breaks off behind a citation of its own. */
const FIRST = [
  data({ type: "message_start", message: { id: "msg_1", model: "a" } }),
  block(0, text),
  delta(0, { type: "text_delta", text: "Rome is old. " }),
  delta(0, { type: "citations_delta", citation: citation("u:1") }),
  data({ type: "content_block_stop", index: 0 }),
  block(1, text),
  delta(1, { type: "citations_delta", citation: citation("u:2") }),
  delta(1, { type: "text_delta", text: "Oslo is" }),
];
function readBroken(): StreamReader {
  const reader = new StreamReader(anthropic.decodeStream());
  for (const one of FIRST) reader.push(encodeUtf8(one));
  reader.end();
  return reader;
}

const mark = (words: string, url: string, all: string): JsonObject => ({
  type: "url_citation",
  url_citation: { url, title: url, start_index: all.indexOf(words), end_index: all.indexOf(words) + words.length },
});
/** A second answer of Chat with annotations behind its text. */
const chatAnswer = (all: string, ...cited: [words: string, url: string][]): string[] => {
  const chunk = (content: JsonObject, finish_reason: string | null = null): string =>
    data({ id: "c", model: "o", choices: [{ index: 0, delta: content, finish_reason }] });
  const annotations = cited.map(([words, url]) => mark(words, url, all));
  const pieces = all.split(/(?=\w)/).map((content) => chunk({ content }));
  return [...pieces, chunk({ annotations }), chunk({}, "stop"), "data: [DONE]\n\n"];
};
const decode = (wire: WireDialect, chunks: readonly string[]): StreamEvent[] => {
  const decoder = wire.decodeStream();
  return [...decodeSse(encodeUtf8(chunks.join(""))).flatMap((one) => decoder.push(one)), ...decoder.end()];
};
const WHOLE = "Rome is old. Oslo is cold. Bern is warm.";
const SECOND: Record<string, [events: StreamEvent[], marks: Marks]> = {
  "a restart": [
    decode(chat, chatAnswer(WHOLE, ["Rome", "u:3"], ["Oslo", "u:4"], ["Bern", "u:5"])),
    [
      ["u:3", "Rome"],
      ["u:4", "Oslo"],
      ["u:5", "Bern"],
    ],
  ],
  "a continuation": [
    decode(chat, chatAnswer(" cold. Bern is warm.", ["cold", "u:4"], ["Bern", "u:5"])),
    [
      ["u:4", "cold"],
      ["u:5", "Bern"],
    ],
  ],
  "a continuation that repeats words": [
    decode(chat, chatAnswer("Oslo is cold. Bern is warm.", ["Oslo", "u:4"], ["Bern", "u:5"])),
    [
      ["u:4", "Oslo"],
      ["u:5", "Bern"],
    ],
  ],
  "an answer of Gemini": [
    decode(gemini, [
      data({ candidates: [{ index: 0, content: { parts: [{ text: WHOLE }] } }] }),
      data({
        candidates: [
          {
            index: 0,
            finishReason: "STOP",
            groundingMetadata: {
              groundingChunks: [{ web: { uri: "u:5", title: "5" } }],
              groundingSupports: [
                { segment: { startIndex: 27, endIndex: 31, text: "Bern" }, groundingChunkIndices: [0] },
              ],
            },
          },
        ],
      }),
    ]),
    [["u:5", "Bern"]],
  ],
};

const blocksOf = ({ messages }: ModelResponse): Block[] => messages.flatMap(({ blocks }) => blocks);
const sorted = (marks: Marks): Marks => marks.toSorted((a, b) => a.join().localeCompare(b.join()));
const marksOf = (response: ModelResponse): Marks =>
  sorted(
    blocksOf(response).flatMap((one) =>
      one.kind === "text"
        ? (one.citations ?? []).map(({ url, start, end }): Marks[number] => [url!, one.text.slice(start, end)])
        : [],
    ),
  );
const textOf = (response: ModelResponse): string =>
  blocksOf(response)
    .map((one) => (one.kind === "text" ? one.text : ""))
    .join("");

describe.each(Object.entries(SECOND))("a stream that goes on with %s", (_, [second, marks]) => {
  const all = sorted([["u:1", "Rome is old. "], ["u:2", WHOLE.slice("Rome is old. ".length)], ...marks]);

  it.each([chat, responses, gemini, native])("a joined stream has the citations of both answers at $id", (surface) => {
    const reader = readBroken();
    const joiner = new ContinuationJoiner(reader);
    const encoder = surface.encodeStream(reply);
    const events = [...buildSentEvents(reader), ...second.flatMap((event) => joiner.push(event))];
    const client = fold(decode(surface, [events.map((event) => encoder.push(event)).join("")]));
    expect(textOf(client)).toBe(WHOLE);
    expect(marksOf(client)).toEqual(all);
    const stored = joiner.toResponse(reader.accumulated, fold(second));
    expect(textOf(stored)).toBe(WHOLE);
    expect(marksOf(stored)).toEqual(all);
  });

  it("a joined stream at Anthropic has the citations of its last text, and the others are a loss", () => {
    const reader = readBroken();
    const joiner = new ContinuationJoiner(reader);
    const encoder = anthropic.encodeStream(reply);
    const events = [...buildSentEvents(reader), ...second.flatMap((event) => joiner.push(event))];
    const client = fold(decode(anthropic, [events.map((event) => encoder.push(event)).join("")]));
    const kept = marks.filter(([, words]) => words !== "Rome").map(([url]) => url);
    expect(marksOf(client).map(([url]) => url)).toEqual(["u:1", "u:2", ...kept]);
    expect(joiner.hasLateCitations).toBe(kept.length < marks.length);
    const losses = findCitationLosses(anthropic, [joiner.toResponse(reader.accumulated, fold(second))]);
    expect(losses).toMatchObject([{ at: "output.citations", what: "approximated" }]);
  });
});

describe("citations that a surface cannot represent", () => {
  const content = [
    { type: "text", text: "Rome", citations: [{ type: "char_location", cited_text: "R", document_title: "D" }] },
  ];
  const document = anthropic.decodeResponse({ id: "a", model: "m", content, stop_reason: "end_turn" });
  const cite = (...annotations: JsonObject[]): ModelResponse =>
    responses.decodeResponse({
      id: "r",
      status: "completed",
      output: [
        { type: "message", id: "m", role: "assistant", content: [{ type: "output_text", text: "Rome", annotations }] },
      ],
    });
  const files: [string, ModelResponse][] = [
    ["a document of Anthropic", document],
    ["a file", cite({ type: "file_citation", file_id: "f", filename: "a.txt", index: 4 })],
    [
      "a file of a container",
      cite({ type: "container_file_citation", file_id: "f", filename: "a", container_id: "c" }),
    ],
    ["a path", cite({ type: "file_path", file_id: "f", index: 4 })],
  ];
  const dropped = { at: "output.citations", what: "dropped" };

  it.each(files)("citations that a surface cannot represent are a loss: %s", (_, answer) => {
    for (const surface of [anthropic, chat, responses, gemini]) {
      const isOwn = blocksOf(answer)[0]!.native?.dialect === surface.id || answer.rest?.dialect === surface.id;
      if (!isOwn) expect(findCitationLosses(surface, [answer])).toEqual([expect.objectContaining(dropped)]);
    }
    const other = { messages: answer.messages, finish: answer.finish };
    expect(findCitationLosses(chat, [{ ...document, messages: [] }, other])).toHaveLength(1);
  });

  it("citations of some words of a text are a loss at Anthropic", () => {
    const url = { type: "url_citation", url: "u:1", title: "1" };
    const approximated = { at: "output.citations", what: "approximated" };
    const part = cite({ ...url, start_index: 0, end_index: 2 });
    expect(findCitationLosses(anthropic, [part])).toEqual([expect.objectContaining(approximated)]);
    expect(findCitationLosses(anthropic, [cite({ ...url, start_index: 0, end_index: 4 })])).toEqual([]);
    expect(findCitationLosses(anthropic, [cite(url)])).toEqual([]);
    for (const surface of [chat, gemini]) expect(findCitationLosses(surface, [part])).toEqual([]);
  });
});
