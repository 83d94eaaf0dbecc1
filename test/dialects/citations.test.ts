import { describe, expect, it } from "vitest";
import { fold, unfold } from "../../src/canonical/accumulator.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";
import {
  reply,
  type Marks,
  source,
  support,
  urlCitation,
  ANSWERS,
  positionsOf,
  sorted,
  textOf,
  marksOf,
  decodeStream,
  encodeStream,
  readAgain,
  dataOf,
} from "../support/cited-answers.ts";

const { gemini } = DIALECTS;
const chat = DIALECTS["openai-chat"];
const responses = DIALECTS["openai-responses"];

describe("citations", () => {
  for (const [name, { wire, body, marks }] of Object.entries(ANSWERS)) {
    const decoded = wire.decodeResponse(body);

    it(`citations of ${name} mark the words that the wire marks`, () => {
      expect(sorted(marksOf(decoded))).toEqual(sorted(marks));
    });

    it(`citations of ${name} are those of the stream of the same answer`, () => {
      const streamed = fold(decodeStream(wire, encodeStream(wire, unfold(decoded))));
      expect(textOf(streamed)).toBe(textOf(decoded));
      expect(sorted(positionsOf(streamed))).toEqual(sorted(positionsOf(decoded)));
    });

    it(`citations of ${name} have positions in the joined text at Chat, whole and streamed`, () => {
      const { choices } = chat.encodeResponse(decoded, reply) as { choices: JsonObject[] };
      const { content, annotations } = choices[0]!.message as { content: string; annotations: JsonObject[] };
      const read = ({ url_citation }: JsonObject): [string, number, number] => {
        const { url, start_index, end_index } = url_citation as Record<string, never>;
        return [url!, start_index!, end_index!];
      };
      expect(content).toBe(textOf(decoded));
      expect(annotations.map(read)).toEqual(positionsOf(decoded));
      const deltas: JsonObject[] = dataOf(encodeStream(chat, unfold(decoded))).flatMap((chunk) =>
        (chunk.choices as { delta: JsonObject }[]).map(({ delta }) => delta),
      );
      expect(deltas.map(({ content }) => (typeof content === "string" ? content : "")).join("")).toBe(textOf(decoded));
      expect(deltas.flatMap((delta) => (delta.annotations as JsonObject[]) ?? []).map(read)).toEqual(
        positionsOf(decoded),
      );
    });

    it(`citations of ${name} have positions in their part at Responses, whole and streamed`, () => {
      const readMarks = (output: Json): Marks =>
        (output as { content?: { text: string; annotations: JsonObject[] }[] }[])
          .flatMap(({ content = [] }) => content)
          .flatMap(({ text, annotations }) =>
            annotations.map(({ url, start_index, end_index }): [string, string] => [
              url as string,
              text.slice(start_index as number, end_index as number),
            ]),
          );
      expect(sorted(readMarks(responses.encodeResponse(decoded, reply).output!))).toEqual(sorted(marks));
      const last = dataOf(encodeStream(responses, unfold(decoded))).at(-1)!;
      expect(sorted(readMarks((last.response as JsonObject).output!))).toEqual(sorted(marks));
    });

    it(`citations of ${name} have byte positions in their part at Gemini, whole and streamed`, () => {
      const readMarks = (parts: { text?: string }[], { groundingMetadata }: JsonObject): Marks => {
        const { groundingChunks, groundingSupports } = groundingMetadata as Record<string, JsonObject[]>;
        return groundingSupports!.map(({ segment, groundingChunkIndices }) => {
          const { partIndex, startIndex, endIndex, text } = segment as Record<string, never>;
          const marked = Buffer.from(parts[partIndex!]!.text!).subarray(startIndex!, endIndex!).toString();
          expect(marked).toBe(text);
          const chunk = groundingChunks![(groundingChunkIndices as number[])[0]!]!;
          return [(chunk.web as JsonObject).uri as string, marked];
        });
      };
      // The provider's own grounding is passed on unchanged.
      const { rest: _, ...foreign } = decoded;
      const { candidates } = gemini.encodeResponse(foreign, reply) as { candidates: JsonObject[] };
      expect(sorted(readMarks((candidates[0]!.content as { parts: JsonObject[] }).parts, candidates[0]!))).toEqual(
        sorted(marks),
      );
      const chunks = dataOf(encodeStream(gemini, unfold(foreign))).map(
        (chunk) => (chunk.candidates as JsonObject[])[0]!,
      );
      const parts: JsonObject[] = [];
      for (const part of chunks.flatMap(({ content }) => (content as { parts: JsonObject[] }).parts)) {
        const previous = parts.at(-1);
        const isSame = previous?.text !== undefined && part.text !== undefined && previous.thought === part.thought;
        if (isSame) previous.text = `${previous.text as string}${part.text as string}`;
        else parts.push({ ...part });
      }
      expect(sorted(readMarks(parts, chunks.at(-1)!))).toEqual(sorted(marks));
    });
  }
});

describe("a stream of Chat", () => {
  const chunk = (delta: JsonObject, finish_reason: string | null = null): string =>
    `data: ${JSON.stringify({ id: "c", model: "o", choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
  const call = { tool_calls: [{ index: 0, id: "t", type: "function", function: { name: "look", arguments: "{}" } }] };
  const annotations = [urlCitation("u:1", 2, 6), urlCitation("u:2", 8, 12), urlCitation("u:3", 3, 10)];
  const text = [chunk({ role: "assistant", content: "é Ro" }), chunk({ content: "me. " })];
  const end = chunk({}, "tool_calls") + "data: [DONE]\n\n";
  const marks: Marks = [
    ["u:1", "Rome"],
    ["u:3", "ome. "],
    ["u:2", "Rome"],
    ["u:3", "Ro"],
  ];

  it.each([
    ["with the text", [text[0]!, chunk({ annotations }), text[1]!, chunk(call), chunk({ content: "Rome" })]],
    ["behind the text", [...text, chunk(call), chunk({ content: "Rome" }), chunk({ annotations })]],
    ["behind a call", [...text, chunk(call), chunk({ annotations }), chunk({ content: "Rome" })]],
    [
      "after the last call",
      [...text, chunk({ reasoning_content: "hm" }), chunk({ content: "Rome" }), chunk(call), chunk({ annotations })],
    ],
    [
      "one by one",
      [...text, ...annotations.map((one) => chunk({ annotations: [one] })), chunk(call), chunk({ content: "Rome" })],
    ],
  ])("annotations that arrive %s in a Chat stream mark their words", (_, chunks) => {
    const events = decodeStream(chat, chunks.join("") + end);
    expect(sorted(marksOf(fold(events)))).toEqual(sorted(marks));
    for (const surface of [chat, gemini, responses, DIALECTS.native]) {
      const again = readAgain(surface, events);
      expect(textOf(again)).toBe("é Rome. Rome");
      expect(sorted(marksOf(again))).toEqual(sorted(marks));
    }
  });

  it("an annotation of a Chat stream without a position marks the last text", () => {
    const bare = { type: "url_citation", url_citation: { url: "u:1", title: "1" } };
    const events = decodeStream(chat, [chunk({ annotations: [bare] }), ...text].join("") + end);
    expect(marksOf(fold(events))).toEqual([["u:1", "é Rome. "]]);
    expect(events.find(({ type }) => type === "close")).toMatchObject({ block: { citations: [{ url: "u:1" }] } });
  });
});

describe("a stream of Responses", () => {
  const typed = (type: string, more: object): string => `data: ${JSON.stringify({ type, ...more })}\n\n`;
  const cite = (url: string, start_index: number, end_index: number): JsonObject => ({
    type: "url_citation",
    url,
    title: url,
    start_index,
    end_index,
  });
  const texts = ["é Rome 🙂 Rome", "e\u0301 Rome"];
  const annotations = [[cite("u:1", 10, 14)], [cite("u:2", 3, 7)]];
  const part = (i: number, isCited: boolean): JsonObject => ({
    type: "output_text",
    text: texts[i]!,
    annotations: isCited ? annotations[i]! : [],
    logprobs: [],
  });
  const item = (isCited: boolean): JsonObject => ({
    id: "msg_1",
    type: "message",
    role: "assistant",
    status: "completed",
    content: [part(0, isCited), part(1, isCited)],
  });
  /** Where the annotations are. */
  const places = ["annotation.added", "annotation.added at the end", "part.done", "item.done", "completed"];

  it.each([...places.map((place) => [place]), places])(
    "annotations in %s of a Responses stream mark their words once",
    (...where) => {
      const added = (i: number): string =>
        typed("response.output_text.annotation.added", {
          output_index: 0,
          content_index: i,
          annotation_index: 0,
          annotation: annotations[i]![0],
        });
      const stream = [
        typed("response.created", { response: { id: "resp_1", model: "o" } }),
        typed("response.output_item.added", { output_index: 0, item: { ...item(false), content: [] } }),
        ...texts.flatMap((delta, i) => [
          typed("response.content_part.added", {
            output_index: 0,
            content_index: i,
            part: { ...part(i, false), text: "" },
          }),
          typed("response.output_text.delta", { output_index: 0, content_index: i, delta }),
          where.includes("annotation.added") ? added(i) : "",
          typed("response.content_part.done", {
            output_index: 0,
            content_index: i,
            part: part(i, where.includes("part.done")),
          }),
        ]),
        ...(where.includes("annotation.added at the end") ? [added(0), added(1)] : []),
        typed("response.output_item.done", { output_index: 0, item: item(where.includes("item.done")) }),
        typed("response.completed", {
          response: { id: "resp_1", model: "o", status: "completed", output: [item(where.includes("completed"))] },
        }),
      ].join("");
      const events = decodeStream(responses, stream);
      const wanted: Marks = [
        ["u:1", "Rome"],
        ["u:2", "Rome"],
      ];
      expect(marksOf(fold(events))).toEqual(wanted);
      // Responses repeats the provider's own item as it was completed.
      for (const surface of [chat, gemini, DIALECTS.native])
        expect(sorted(marksOf(readAgain(surface, events)))).toEqual(sorted(wanted));
    },
  );
});

describe("a stream of Gemini", () => {
  const chunk = (candidate: JsonObject): string =>
    `data: ${JSON.stringify({ candidates: [{ index: 0, ...candidate }], modelVersion: "g", responseId: "r" })}\r\n\r\n`;
  const parts = (...list: Json[]): JsonObject => ({ content: { role: "model", parts: list } });
  const groundingMetadata = {
    groundingChunks: [source("u:1"), source("u:2")],
    groundingSupports: [
      support(0, { startIndex: 10, endIndex: 14, text: "Rome" }),
      support(1, { startIndex: 14, endIndex: 18, text: "Rome" }),
    ],
  };

  it.each([
    [
      "with the last text",
      [parts({ text: "é Rome, " }), parts({ text: "R" }), { ...parts({ text: "omeRome" }), groundingMetadata }],
    ],
    [
      "after a call",
      [
        parts({ text: "é Rome, Rome" }),
        parts({ text: "Rome" }),
        { ...parts({ functionCall: { name: "look", args: {} } }), groundingMetadata },
      ],
    ],
    [
      "after code",
      [
        parts({ text: "é Rome, Rome" }),
        parts({ executableCode: { code: "1" } }),
        parts({ text: "Rome" }),
        { groundingMetadata },
      ],
    ],
    [
      "first",
      [
        { ...parts({ text: "é Rome" }), groundingMetadata },
        parts({ text: ", Rome" }, { executableCode: { code: "1" } }),
        parts({ text: "Rome" }),
      ],
    ],
  ])("grounding that arrives %s in a Gemini stream marks its words", (_, candidates) => {
    const text = candidates.map(chunk).join("") + chunk({ finishReason: "STOP" });
    const events = decodeStream(gemini, text);
    const response = fold(events);
    expect(textOf(response)).toBe("é Rome, RomeRome");
    expect(positionsOf(response)).toEqual([
      ["u:1", 8, 12],
      ["u:2", 12, 16],
    ]);
    for (const surface of [chat, responses, DIALECTS.native])
      expect(sorted(positionsOf(readAgain(surface, events)))).toEqual(sorted(positionsOf(response)));
  });
});
