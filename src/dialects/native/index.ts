import type { ToolRules } from "../../canonical/tool-names.ts";
import type { WireDialect } from "../dialect.ts";
import { withFittedTools } from "../fit-tools.ts";
import { decodeError, encodeError } from "./errors.ts";
import { decodeMessages, encodeMessages } from "./messages.ts";
import { decodeRequest, encodeRequest } from "./request.ts";
import { decodeResponse, encodeResponse } from "./response.ts";
import { decodeStream, encodeStream } from "./stream.ts";
import { decodeUsage } from "./usage.ts";

/**
 * Members that are addressed to the gateway and not to a model. Other surfaces have them inside the member
 * `rhone`.
 */
const GATEWAY_MEMBERS = "session_id context_mode parent routing metadata tags on_busy on_disconnect strict store".split(
  " ",
);

/** A request has the names of all other wires, and functions only. */
const TOOLS: ToolRules = { name: /^/, maxName: Infinity, hasAllowedTools: true, forwardsServerTools: true };

/**
 * The wire of the gateway itself (docs/native.md): calls of typed blocks, which represent everything that the
 * other wires have.
 */
export const native: WireDialect = {
  takesUnfinishedThinking: true,
  id: "native",
  layout: {
    items: "input",
    itemsAlias: "blocks",
    instructions: ["instructions"],
    state: GATEWAY_MEMBERS,
    itemFromText: (text) => `{"type":"input","text":${text}}`,
  },
  decodeRequest,
  encodeRequest: withFittedTools(TOOLS, encodeRequest),
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
