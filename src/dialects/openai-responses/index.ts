import type { ToolRules } from "../../canonical/tool-names.ts";
import type { WireDialect } from "../dialect.ts";
import { withFittedCalls, withFittedTools } from "../fit-tools.ts";
import { decodeError, encodeError } from "../openai/errors.ts";
import { toPortableItem } from "./compaction.ts";
import { decodeMessages, encodeMessages } from "./messages.ts";
import { mayHaveReferences } from "./references.ts";
import { decodeRequest, encodeRequest } from "./request.ts";
import { addRequiredMembers } from "./required-members.ts";
import { decodeResponse, encodeResponse } from "./response.ts";
import { decodeStream, encodeStream } from "./stream.ts";
import { decodeUsage } from "./usage.ts";

/**
 * Members that the canonical request represents, those without influence on the answer (`metadata`, `include`),
 * and those that the gateway itself handles (`store`, `previous_response_id`, `conversation`, `background`).
 * Every other member is lost when a request goes to another dialect.
 */
const KNOWN_MEMBERS = new Set(
  "input instructions model stream stream_options tools tool_choice parallel_tool_calls reasoning text max_output_tokens temperature top_p top_logprobs frequency_penalty presence_penalty user safety_identifier service_tier prompt_cache_key prompt_cache_retention prompt_cache_options moderation metadata store include previous_response_id conversation background".split(
    " ",
  ),
);

const KNOWN_WITHIN = {
  reasoning: ["effort", "summary", "generate_summary"],
  text: ["format", "verbosity"],
  stream_options: ["include_obfuscation"],
};

/** Functions have the names of Chat (OpenAI API reference). */
const TOOLS: ToolRules = {
  name: /^[a-zA-Z0-9_-]{1,64}$/,
  maxName: 64,
  hasCustom: true,
  hasNamespaces: true,
  hasAllowedTools: true,
};

/**
 * OpenAI Responses, and hosts of the same format: Open Responses, xAI, OpenRouter, Azure, llama.cpp.
 */
export const openaiResponses: WireDialect = {
  id: "openai-responses",
  layout: {
    items: "input",
    instructions: ["instructions"],
    state: ["previous_response_id", "conversation", "background"],
    knownMembers: KNOWN_MEMBERS,
    knownWithin: KNOWN_WITHIN,
    toPortableItem,
    mayHaveReferences,
    itemFromText: (text) => `{"role":"user","content":${text}}`,
  },
  decodeRequest,
  encodeRequest: withFittedTools(TOOLS, encodeRequest),
  decodeMessages,
  encodeMessages: withFittedCalls(TOOLS, encodeMessages),
  decodeResponse,
  encodeResponse,
  usageOf: (body) => decodeUsage(body.usage),
  complete: addRequiredMembers,
  decodeStream,
  encodeStream,
  decodeError,
  encodeError,
};
