import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { countsImages, decodeUsage, AnswerScanner } from "../../src/endpoints/answer-scan.ts";
import { decodeChat, encodePrompt } from "../../src/endpoints/completions.ts";
import {
  encodeFloats,
  decodeFromGemini,
  decodeFromOpenai,
  encodeForGemini,
  encodeForOpenai,
} from "../../src/endpoints/embeddings-format.ts";
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../src/wire/bytes.ts";
import { boundaryOf, type FormField, FieldFinder, replaceField } from "../../src/wire/multipart.ts";

/** A form as clients write it; the file holds what looks like a boundary and is none. */
const FILE = 'RIFF\r\n--bound\r\n--boundar\u0000name="model"\r\n\r\nnot-this';
const form = (...fields: [disposition: string, value: string][]): string =>
  `${fields.map(([name, value]) => `--boundary\r\nContent-Disposition: form-data; ${name}\r\n\r\n${value}\r\n`).join("")}--boundary--\r\n`;
const file: [string, string] = ['name="file"; filename="a; name=model.wav"\r\nContent-Type: audio/wav', FILE];
const model: [string, string] = ['name="model"', "whisper-1"];

/** Fed in pieces of these sizes, over and over. */
function find(text: string, sizes: readonly number[] = [text.length]): { found?: FormField; isOver: boolean } {
  const finder = new FieldFinder("boundary", "model");
  const bytes = encodeUtf8(text);
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    const found = finder.push(bytes.subarray(at, at + size));
    if (found !== undefined) return { found, isOver: false };
    at += size;
  }
  return { isOver: finder.isDone };
}

describe("a field of a form", () => {
  it.each([
    ["first", form(model, file)],
    ["behind a file", form(file, model)],
    ["after a preamble", `This is a form.\r\n${form(model)}`],
    ["with its name bare", form(["name=model", "whisper-1"], file)],
    [
      "in any spelling of the header",
      form(file).replace("--boundary--", "") + form(model).replace("Content-Disposition", "content-disposition"),
    ],
  ])("a field of a form is found: %s", (_, text) => {
    const { found } = find(text);
    expect(found?.value).toBe("whisper-1");
    expect(text.slice(found!.start, found!.end)).toBe("whisper-1");
  });

  it("a field of a form is found at the same place in any pieces of the form", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }), (sizes) => {
        expect(find(form(file, model, file), sizes)).toEqual(find(form(file, model, file)));
      }),
    );
  });

  it.each([
    ["no such field", form(file)],
    ["no form", "{}"],
    ["a value without end", `--boundary\r\nContent-Disposition: form-data; name="model"\r\n\r\n${"x".repeat(5000)}`],
    ["headers without end", `--boundary\r\n${"x".repeat(20_000)}`],
    ["nothing", ""],
  ])("no field of a form is found in a body with %s", (_, text) => {
    expect(find(text, [1000]).found).toBeUndefined();
  });

  it("a field of a form may be empty", () => {
    expect(find(form(['name="model"', ""], file)).found?.value).toBe("");
  });

  it("replacing a field of a form changes nothing else, in any pieces of the form", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 }), (sizes) => {
        const text = form(file, model, file);
        const bytes = encodeUtf8(text);
        const held: Uint8Array[] = [];
        for (let at = 0, i = 0; at < bytes.length; at += sizes[i++ % sizes.length]!)
          held.push(bytes.subarray(at, at + sizes[i % sizes.length]!));
        const { found } = find(text);
        const changed = decodeUtf8(concatBytes([...replaceField(held, found!, "großes-modell")]));
        expect(changed).toBe(form(file, ['name="model"', "großes-modell"], file));
      }),
    );
  });

  it("the boundary of a form is read from its content type", () => {
    expect(boundaryOf("multipart/form-data; boundary=----x7")).toBe("----x7");
    expect(boundaryOf('multipart/form-data; charset=utf-8; boundary="a b"')).toBe("a b");
    expect(boundaryOf("multipart/form-data")).toBeUndefined();
  });
});

describe("embeddings", () => {
  it("embeddings in base64 have the same floats", () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true })), (vector) => {
        const bytes = Buffer.from(encodeFloats(vector), "base64");
        expect(vector.map((_, i) => bytes.readFloatLE(4 * i))).toEqual(vector);
      }),
    );
    // The first two floats of a recorded answer of text-embedding-3-small.
    expect(encodeFloats([0.01760832592844963, -0.045733217149972916])).toBe("Vj+QPMFSO70=");
  });

  it("a request for embeddings to Gemini has one vector per text, with the given dimensions", () => {
    const { value, losses } = encodeForGemini(
      { input: ["a", "b"], dimensions: 768, user: "u" },
      "gemini-embedding-001",
    );
    expect(value).toEqual({
      requests: ["a", "b"].map((text) => ({
        model: "models/gemini-embedding-001",
        content: { parts: [{ text }] },
        outputDimensionality: 768,
      })),
    });
    expect(losses).toMatchObject([{ at: "user", what: "dropped" }]);
    expect(() => encodeForGemini({ input: [1, 2] }, "m")).toThrow("input: expected text");
  });

  it("a usage that Gemini does not report is 0 in the answer and unknown in the record", () => {
    const asked = { model: "m", base64: false };
    const silent = decodeFromGemini({ embeddings: [{ values: [1] }] }, asked);
    expect(silent.value).toEqual({
      object: "list",
      data: [{ object: "embedding", index: 0, embedding: [1] }],
      model: "m",
      usage: { prompt_tokens: 0, total_tokens: 0 },
    });
    expect(silent.usage).toEqual({});
    const said = decodeFromGemini({ embeddings: [{ values: [1] }], usageMetadata: { promptTokenCount: 4 } }, asked);
    expect(said.value.usage).toEqual({ prompt_tokens: 4, total_tokens: 4 });
    expect(said.usage).toMatchObject({ fresh: 4, output: 0 });
    expect(() => decodeFromGemini({ error: {} }, asked)).toThrow("has no embeddings");
  });

  it("a request for embeddings to OpenAI has what Gemini's requests have in common, and differences are refused", () => {
    const request = { content: { parts: [{ text: "a" }, { text: "b" }] }, output_dimensionality: 3, taskType: "X" };
    const { value, losses } = encodeForOpenai({ requests: [request] }, "batchEmbedContents", "m");
    expect(value).toEqual({ model: "m", input: "a\nb", dimensions: 3, encoding_format: "float" });
    expect(losses).toMatchObject([{ at: "taskType" }]);
    const other = { content: "c" };
    expect(() => encodeForOpenai({ requests: [request, other] }, "batchEmbedContents", "m")).toThrow("same dimensions");
    const picture = { content: { parts: [{ inlineData: {} }] } };
    expect(() => encodeForOpenai(picture, "embedContent", "m")).toThrow("content.parts: the provider embeds text only");
  });

  it("embeddings of OpenAI are returned in the order of their indexes, and only as lists of numbers", () => {
    const data = [
      { index: 1, embedding: [2] },
      { index: 0, embedding: [1] },
    ];
    expect(() => decodeFromOpenai({ data: [{ embedding: "1/8A" }] }, "embedContent")).toThrow(
      "no embeddings as lists of numbers",
    );
    const { value } = decodeFromOpenai({ data, usage: { prompt_tokens: 5, total_tokens: 5 } }, "batchEmbedContents");
    expect(value).toEqual({ embeddings: [{ values: [1] }, { values: [2] }], usageMetadata: { promptTokenCount: 5 } });
  });
});

describe("a completion of a model that only chats", () => {
  it("a completion becomes a chat with one message", () => {
    const chat = encodePrompt({ model: "m", prompt: ["Hello"], max_tokens: 5, echo: false, n: 1, vendor: { x: 1 } });
    expect(chat).toEqual({
      model: "m",
      max_tokens: 5,
      vendor: { x: 1 },
      messages: [{ role: "user", content: "Hello" }],
    });
  });

  it.each([
    ["prompt", { prompt: ["a", "b"] }],
    ["prompt", { prompt: [1, 2] }],
    ["echo", { prompt: "a", echo: true }],
    ["n", { prompt: "a", n: 2 }],
    ["logprobs", { prompt: "a", logprobs: 0 }],
    ["suffix", { prompt: "a", suffix: "b" }],
  ])("a completion is refused if a chat would give another answer: %s", (param, body) => {
    expect(() => encodePrompt(body)).toThrow(new RegExp(`^${param}: .*the model supports chat only`));
  });

  it("a completion has the text of the chat's message", () => {
    const { choices, id, object } = decodeChat({
      id: "chatcmpl-1",
      choices: [{ index: 0, message: { content: "Hi" }, finish_reason: "length" }],
    });
    expect([id, object]).toEqual(["cmpl-1", "text_completion"]);
    expect(choices).toEqual([{ text: "Hi", index: 0, logprobs: null, finish_reason: "length" }]);
  });
});

describe("the scanner of an answer", () => {
  it("the scanner finds the usage at either end of an answer of any length, and not in its texts", () => {
    const filler = "x".repeat(500_000);
    const said = '"usage": {"prompt_tokens": 7, "total_tokens": 9, "d": {"e": [1]}}';
    for (const text of [`{${said}, "data": "${filler}"}`, `{"data": "${filler}", ${said}}`]) {
      const seen = new AnswerScanner();
      const bytes = encodeUtf8(text);
      for (let at = 0; at < bytes.length; at += 65_536) seen.push(bytes.subarray(at, at + 65_536));
      expect(seen.usage).toMatchObject({ fresh: 7, output: 2 });
    }
    const quoted = new AnswerScanner();
    quoted.push(encodeUtf8(JSON.stringify({ text: '"usage": {"prompt_tokens": 7}' })));
    expect(quoted.usage).toEqual({});
  });

  it("the usage of OpenAI's endpoints is decoded from each of its forms, without counts for a duration", () => {
    // As recorded: a transcription, and a picture.
    const heard = { type: "tokens", total_tokens: 49, input_tokens: 37, input_token_details: { audio_tokens: 37 } };
    expect(decodeUsage(heard)).toEqual({ fresh: 37, output: 12, inputAudio: 37, native: heard });
    const drawn = { input_tokens: 14, output_tokens: 272, output_tokens_details: { image_tokens: 272 } };
    expect(countsImages(decodeUsage(drawn))).toBe(true);
    expect(decodeUsage({ type: "duration", seconds: 7 })).toEqual({ native: { type: "duration", seconds: 7 } });
  });

  it("the scanner finds a terminal event that is divided between two chunks", () => {
    const seen = new AnswerScanner();
    seen.push(encodeUtf8('data: {"type":"transcript.te'));
    expect(seen.hasTerminal).toBe(false);
    seen.push(encodeUtf8('xt.done","text":""}\n\n'));
    expect(seen.hasTerminal).toBe(true);
  });
});
