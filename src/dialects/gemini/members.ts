import { z } from "zod";
import { EFFORT_NAMES } from "../../canonical/reasoning.ts";
import type { Json } from "../../wire/json.ts";
import { anything, boolean, object, oneOf, texts } from "../member-schemas.ts";
import { readNumber, withSnakeCase } from "./casing.ts";

const numberFrom = (least: number, expected: string): z.ZodType => {
  const isNumber = (value: unknown): boolean => (readNumber({ value: value as Json }, "value") ?? Number.NaN) >= least;
  return z.custom<Json>(isNumber, expected).nullish();
};
const number = numberFrom(-Infinity, "expected number");

const instructions = z
  .union([z.string(), z.strictObject({ role: anything, parts: anything }), z.array(anything)])
  .nullish();

const thinkingConfig = z
  .strictObject(
    withSnakeCase({
      includeThoughts: boolean,
      thinkingBudget: number,
      thinkingLevel: oneOf(...EFFORT_NAMES.flatMap((name) => [name.toUpperCase(), name])).nullish(),
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
      responseMimeType: oneOf("text/plain", "application/json").nullish(),
      responseSchema: object,
      responseJsonSchema: anything,
      thinkingConfig,
    }),
  )
  .nullish();

/** Enumerations are in capitals in Google's documentation; clients write them in lower case, too. */
const MODES = ["AUTO", "ANY", "NONE", "VALIDATED"];

const functionCallingConfig = z
  .strictObject(
    withSnakeCase({
      mode: oneOf(...MODES.flatMap((mode) => [mode, mode.toLowerCase()])).nullish(),
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
  }),
);
