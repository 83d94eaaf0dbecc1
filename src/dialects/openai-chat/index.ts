import type { WireDialect } from "../dialect.ts";
import { decodeError, encodeError } from "../openai/errors.ts";
import { decodeMessages, encodeMessages } from "./messages.ts";
import { decodeRequest, encodeRequest } from "./request.ts";
import { decodeResponse, encodeResponse } from "./response.ts";
import { decodeStream, encodeStream, streamUsage } from "./stream.ts";
import { decodeUsage } from "./usage.ts";

/**
 * Members that the canonical request represents, and those without influence on the answer (`metadata`,
 * `store`). Every other member is lost when a request goes to another dialect.
 */
const KNOWN_MEMBERS = new Set(
  "messages model stream stream_options tools functions tool_choice function_call parallel_tool_calls reasoning reasoning_effort response_format max_tokens max_completion_tokens temperature top_p top_k frequency_penalty presence_penalty seed stop n logprobs top_logprobs user safety_identifier service_tier prompt_cache_key metadata store".split(
    " ",
  ),
);

/**
 * OpenAI Chat Completions, with the extensions of compatible hosts (Mistral, DeepSeek, OpenRouter, xAI, vLLM,
 * …).
 */
export const openaiChat: WireDialect = {
  id: "openai-chat",
  layout: { items: "messages", knownMembers: KNOWN_MEMBERS },
  decodeRequest,
  encodeRequest,
  decodeMessages,
  encodeMessages,
  decodeResponse,
  encodeResponse,
  usageOf: (body) => decodeUsage(body.usage),
  streamUsage,
  decodeStream,
  encodeStream,
  decodeError,
  encodeError,
};
