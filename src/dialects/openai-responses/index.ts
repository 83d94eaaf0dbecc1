import type { ToolRules } from "../../canonical/tool-names.ts";
import type { WireDialect } from "../dialect.ts";
import { withFittedCalls, withFittedTools } from "../fit-tools.ts";
import { decodeError, encodeError } from "../openai/errors.ts";
import { mayHaveSummaries, toPortableItem } from "./compaction.ts";
import { MEMBERS } from "./members.ts";
import { decodeMessages, encodeMessages } from "./messages.ts";
import { mayHaveReferences } from "./references.ts";
import { decodeRequest, encodeRequest } from "./request.ts";
import { addRequiredMembers } from "./required-members.ts";
import { decodeResponse, encodeResponse } from "./response.ts";
import { serverTools } from "./servers/server-tools.ts";
import { decodeStream, encodeStream } from "./stream.ts";
import { decodeUsage } from "./usage.ts";

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
    members: MEMBERS,
    toPortableItem,
    mayHaveOwnItems: mayHaveSummaries,
    mayHaveReferences,
    itemFromText: (text) => `{"role":"user","content":${text}}`,
  },
  serverTools,
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
