import type { ToolRules } from "../../canonical/tool-names.ts";
import type { WireDialect } from "../dialect.ts";
import { withFittedCalls, withFittedTools } from "../fit-tools.ts";
import { type MarkLimit, selectMarks } from "../mark-limit.ts";
import { decodeError, encodeError } from "../openai/errors.ts";
import { MEMBERS } from "./members.ts";
import { decodeMessages, encodeMessages } from "./messages.ts";
import { decodeRequest, encodeRequest } from "./request.ts";
import { decodeResponse, encodeResponse } from "./response.ts";
import { decodeStream, encodeStream, streamUsage } from "./stream.ts";
import { decodeUsage } from "./usage.ts";

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
  layout: { items: "messages", members: MEMBERS },
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
