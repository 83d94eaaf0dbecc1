import { anything, boolean, number, text } from "../member-schemas.ts";

/** Members that OpenAI's two wires have alike (API reference, Chat and Responses: create). */
export const SHARED = {
  model: anything,
  stream: anything,
  tools: anything,
  parallel_tool_calls: boolean,
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
};
