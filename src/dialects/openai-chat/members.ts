import { z } from "zod";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import {
  anything,
  boolean,
  count,
  effort,
  number,
  object,
  objects,
  oneOf,
  only,
  texts,
  toolChoice,
} from "../member-schemas.ts";
import { SHARED } from "../openai/members.ts";
import { decodeToolChoice } from "./tools.ts";

/**
 * OpenAI API reference, Chat: create. Of compatible hosts: `reasoning`, an effort as an object, `top_k`, `logprobs` as a number,
 * and a schema beside the type of a format.
 */
export const MEMBERS = z.strictObject({
  ...SHARED,
  messages: anything,
  stream_options: z.strictObject({ include_usage: anything, include_obfuscation: anything }).nullish(),
  functions: objects,
  tool_choice: toolChoice(decodeToolChoice, "auto", "none", "required", "any"),
  function_call: toolChoice(decodeToolChoice, "auto", "none"),
  reasoning_effort: z.preprocess((value) => (isObject(value as Json) ? (value as JsonObject).effort : value), effort),
  // `exclude` concerns the answer's form, which the caller's own wire determines.
  reasoning: z.strictObject({ effort, max_tokens: number, enabled: boolean, exclude: anything }).nullish(),
  response_format: z
    .strictObject({ type: oneOf("text", "json_object", "json_schema"), json_schema: object, schema: object })
    .refine(({ type, json_schema, schema }) => type !== "json_schema" || (json_schema ?? schema) != null, {
      path: ["json_schema"],
      message: "expected an object with the schema",
    })
    .nullish(),
  max_tokens: number,
  max_completion_tokens: number,
  top_k: number,
  seed: number,
  stop: z.union([z.string(), texts], "expected a text or a list of texts"),
  n: count,
  logprobs: z.union([z.boolean(), number], "expected boolean"),
  verbosity: anything,
  modalities: only(["text"]),
  logit_bias: only({}),
});
