import type { ToolRules } from "../../canonical/tool-names.ts";
import type { WireDialect } from "../dialect.ts";
import { withFittedCalls, withFittedTools } from "../fit-tools.ts";
import { type MarkLimit, selectMarks } from "../mark-limit.ts";
import { decodeError, encodeError } from "./errors.ts";
import { MEMBERS } from "./members.ts";
import { decodeMessages, encodeMessages } from "./messages.ts";
import { decodeRequest, encodeRequest } from "./request.ts";
import { decodeResponse, encodeResponse } from "./response.ts";
import { serverTools } from "./server-tools.ts";
import { decodeStream, encodeStream } from "./stream.ts";
import { decodeUsage } from "./usage.ts";

/** Anthropic API, Messages: `tools`. */
const TOOLS: ToolRules = { name: /^[a-zA-Z0-9_-]{1,128}$/, maxName: 128 };

/** Marks of all wires become `cache_control`. */
const MARK_LIMIT: MarkLimit = {
  members: {
    anthropic: ["cache_control"],
    "openai-chat": ["cache_control", "prompt_cache_breakpoint"],
    "openai-responses": ["prompt_cache_breakpoint"],
    native: ["cache"],
  },
  select: selectMarks,
};

/** Anthropic Messages, and hosts that offer their own models in this format. */
export const anthropic: WireDialect = {
  id: "anthropic",
  layout: {
    items: "messages",
    instructions: ["system"],
    members: MEMBERS,
    mustBeDecoded: (members) => members.some(({ key }) => key === "thread"),
  },
  markLimit: MARK_LIMIT,
  citesWholeTexts: true,
  serverTools,
  decodeRequest,
  encodeRequest: withFittedTools(TOOLS, encodeRequest),
  decodeMessages,
  encodeMessages: withFittedCalls(TOOLS, encodeMessages),
  decodeResponse,
  encodeResponse,
  usageOf: (body) => decodeUsage(body.usage),
  decodeStream,
  encodeStream,
  decodeError,
  encodeError,
};
