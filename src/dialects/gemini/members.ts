import { z } from "zod";
import type { Json } from "../../wire/json.ts";
import { anything, boolean, object, oneOf, only, texts } from "../member-schemas.ts";
import { readNumber, toWord, withSnakeCase } from "./casing.ts";
import { LEVELS } from "./generation-config.ts";
import { MODES } from "./tools.ts";

const numberFrom = (least: number, expected: string): z.ZodType => {
  const isNumber = (value: unknown): boolean => (readNumber({ value: value as Json }, "value") ?? Number.NaN) >= least;
  return z.custom<Json>(isNumber, expected).nullish();
};
const number = numberFrom(-Infinity, "expected number");

/** `words`: by their numbers. */
const protoWord = (words: readonly string[]): z.ZodType =>
  z.preprocess((value) => toWord(value, words), oneOf(...words).nullish());

const instructions = z
  .union([z.string(), z.strictObject({ role: anything, parts: anything }), z.array(anything)])
  .nullish();

const thinkingConfig = z
  .strictObject(
    withSnakeCase({
      includeThoughts: boolean,
      thinkingBudget: number,
      thinkingLevel: protoWord(LEVELS),
    }),
  )
  .nullish();

const generationConfig = z
  .strictObject(
    withSnakeCase({
      temperature: number,
      topP: number,
      topK: number,
      maxOutputTokens: number,
      stopSequences: texts,
      candidateCount: numberFrom(1, "expected at least 1"),
      seed: number,
      presencePenalty: number,
      frequencyPenalty: number,
      responseLogprobs: boolean,
      logprobs: number,
      responseMimeType: oneOf("text/plain", "application/json", "").nullish(),
      responseSchema: object,
      responseJsonSchema: anything,
      responseModalities: only(["TEXT"]),
      thinkingConfig,
    }),
  )
  .nullish();

const functionCallingConfig = z
  .strictObject(
    withSnakeCase({
      mode: protoWord(MODES),
      allowedFunctionNames: texts,
      // The gateway makes the client's stream.
      streamFunctionCallArguments: anything,
    }),
  )
  .nullish();

/** Gemini API, generateContent, in both spellings. `labels` do not influence the answer. */
export const MEMBERS = z.strictObject(
  withSnakeCase({
    contents: anything,
    systemInstruction: instructions,
    model: anything,
    tools: anything,
    toolConfig: z.strictObject(withSnakeCase({ functionCallingConfig })).nullish(),
    generationConfig,
    labels: anything,
    safetySettings: only([]),
    cachedContent: only(""),
  }),
);
