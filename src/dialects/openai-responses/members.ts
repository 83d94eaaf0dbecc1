import { z } from "zod";
import { anything, boolean, effort, number, oneOf, only, text, toolChoice } from "../member-schemas.ts";
import { decodeToolChoice } from "./tools.ts";

const summary = oneOf("auto", "concise", "detailed", "none").nullish();

/**
 * OpenAI API reference, Responses: create. The gateway itself handles `store`, `previous_response_id`, `conversation` and
 * `background`.
 */
export const MEMBERS = z.strictObject({
  input: anything,
  instructions: anything,
  model: anything,
  stream: anything,
  stream_options: z.strictObject({ include_obfuscation: anything }).nullish(),
  tools: anything,
  tool_choice: toolChoice(decodeToolChoice, "auto", "none", "required"),
  parallel_tool_calls: boolean,
  reasoning: z.strictObject({ effort, summary, generate_summary: summary }).nullish(),
  text: z
    .strictObject({
      format: z.looseObject({ type: oneOf("text", "json_object", "json_schema") }).nullish(),
      verbosity: anything,
    })
    .nullish(),
  max_output_tokens: number,
  temperature: number,
  top_p: number,
  top_logprobs: number,
  frequency_penalty: number,
  presence_penalty: number,
  user: text,
  safety_identifier: text,
  service_tier: text,
  prompt_cache_key: text,
  prompt_cache_retention: anything,
  prompt_cache_options: anything,
  moderation: anything,
  metadata: anything,
  store: anything,
  include: anything,
  previous_response_id: anything,
  conversation: anything,
  background: anything,
  truncation: only("disabled"),
});
