import type { ToolRules } from "../../canonical/tool-names.ts";
import type { WireDialect } from "../dialect.ts";
import { withFittedCalls, withFittedTools } from "../fit-tools.ts";
import { decodeError, encodeError } from "./errors.ts";
import { MEMBERS } from "./members.ts";
import { decodeMessages, encodeMessages } from "./messages.ts";
import { decodeRequest, encodeRequest } from "./request.ts";
import { decodeResponse, encodeResponse } from "./response.ts";
import { decodeChunks, decodeStream, encodeStream } from "./stream.ts";
import { serverTools } from "./tools.ts";
import { decodeUsage } from "./usage.ts";

/** The specification of the API has 64 characters; its later documentation has more. */
const TOOLS: ToolRules = { name: /^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$/, maxName: 64, hasAllowedTools: true };

/** Gemini `generateContent` and `streamGenerateContent`, of the Gemini API and of Vertex AI. */
export const gemini: WireDialect = {
  takesUnfinishedThinking: true,
  id: "gemini",
  layout: {
    items: "contents",
    instructions: ["systemInstruction", "system_instruction"],
    members: MEMBERS,
    readsItemsTogether: true,
    itemFromText: (text) => `{"role":"user","parts":[{"text":${text}}]}`,
  },
  serverTools,
  decodeRequest,
  encodeRequest: withFittedTools(TOOLS, encodeRequest),
  decodeMessages,
  encodeMessages: withFittedCalls(TOOLS, encodeMessages),
  // Without `alt=sse` a stream is one JSON list of its chunks.
  decodeResponse: (body, seal, callId) =>
    Array.isArray(body) ? decodeChunks(body, seal, callId) : decodeResponse(body, seal, callId),
  encodeResponse,
  usageOf: (body) => decodeUsage(body.usageMetadata),
  decodeStream,
  encodeStream,
  decodeError,
  encodeError,
};
