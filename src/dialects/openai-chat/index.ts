import type { ToolRules } from "../../canonical/tool-names.ts";
import type { WireDialect } from "../dialect.ts";
import { withFittedCalls, withFittedTools } from "../fit-tools.ts";
import { type MarkLimit, selectMarks } from "../mark-limit.ts";
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
  "messages model stream stream_options tools functions tool_choice function_call parallel_tool_calls reasoning reasoning_effort response_format max_tokens max_completion_tokens temperature top_p top_k frequency_penalty presence_penalty seed stop n logprobs top_logprobs user safety_identifier service_tier prompt_cache_key prompt_cache_retention prompt_cache_options moderation verbosity metadata store".split(
    " ",
  ),
);

/** `exclude` of reasoning concerns the answer's form, which the caller's own wire determines. */
const KNOWN_WITHIN = {
  reasoning: ["effort", "max_tokens", "enabled", "exclude"],
  response_format: ["type", "json_schema"],
  stream_options: ["include_usage", "include_obfuscation"],
};

/** OpenAI API reference, Chat: `FunctionObject`. */
const TOOLS: ToolRules = { name: /^[a-zA-Z0-9_-]{1,64}$/, maxName: 64, hasCustom: true, hasAllowedTools: true };

/**
 * Only `cache_control`, which hosts of other makers' models pass on to them: OpenAI itself accepts any number of its
 * breakpoints.
 */
const MARK_LIMIT: MarkLimit = { members: { "openai-chat": ["cache_control"] }, select: selectMarks };

/**
 * OpenAI Chat Completions, with the extensions of compatible hosts (Mistral, DeepSeek, OpenRouter, xAI, vLLM,
 * …).
 */
export const openaiChat: WireDialect = {
  id: "openai-chat",
  layout: { items: "messages", knownMembers: KNOWN_MEMBERS, knownWithin: KNOWN_WITHIN },
  markLimit: MARK_LIMIT,
  decodeRequest,
  encodeRequest: withFittedTools(TOOLS, encodeRequest),
  decodeMessages,
  encodeMessages: withFittedCalls(TOOLS, encodeMessages),
  decodeResponse,
  encodeResponse,
  usageOf: (body) => decodeUsage(body.usage),
  streamUsage,
  decodeStream,
  encodeStream,
  decodeError,
  encodeError,
};
