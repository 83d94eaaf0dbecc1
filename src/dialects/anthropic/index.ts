import type { WireDialect } from "../dialect.ts";
import { decodeError, encodeError } from "./errors.ts";
import { decodeMessages, encodeMessages } from "./messages.ts";
import { decodeRequest, encodeRequest } from "./request.ts";
import { decodeResponse, encodeResponse } from "./response.ts";
import { decodeStream, encodeStream } from "./stream.ts";
import { decodeUsage } from "./usage.ts";

/**
 * Members that the canonical request represents (`metadata` has the id of the user). Every other member is lost
 * when a request goes to another dialect.
 */
const KNOWN_MEMBERS = new Set(
  "messages system model max_tokens stream tools mcp_servers tool_choice thinking output_config output_format stop_sequences temperature top_p top_k metadata service_tier".split(
    " ",
  ),
);

/** Anthropic Messages, and hosts that offer their own models in this format. */
export const anthropic: WireDialect = {
  id: "anthropic",
  layout: { items: "messages", instructions: ["system"], knownMembers: KNOWN_MEMBERS },
  decodeRequest,
  encodeRequest,
  decodeMessages,
  encodeMessages,
  decodeResponse,
  encodeResponse,
  usageOf: (body) => decodeUsage(body.usage),
  decodeStream,
  encodeStream,
  decodeError,
  encodeError,
};
