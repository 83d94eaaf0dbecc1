import { z } from "zod";
import { anything, effort, number, oneOf, only, toolChoice } from "../member-schemas.ts";
import { SHARED } from "../openai/members.ts";
import { decodeToolChoice } from "./tools.ts";

const summary = oneOf("auto", "concise", "detailed", "none").nullish();

/**
 * OpenAI API reference, Responses: create. The gateway itself handles `store`, `previous_response_id`, `conversation` and
 * `background`.
 */
export const MEMBERS = z.strictObject({
  ...SHARED,
  input: anything,
  instructions: anything,
  stream_options: z.strictObject({ include_obfuscation: anything }).nullish(),
  tool_choice: toolChoice(decodeToolChoice, "auto", "none", "required"),
  reasoning: z.strictObject({ effort, summary, generate_summary: summary }).nullish(),
  text: z
    .strictObject({
      format: z.looseObject({ type: oneOf("text", "json_object", "json_schema") }).nullish(),
      verbosity: anything,
    })
    .nullish(),
  max_output_tokens: number,
  include: anything,
  previous_response_id: anything,
  conversation: anything,
  background: anything,
  truncation: only("disabled"),
});
