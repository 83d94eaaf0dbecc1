import { type JsonObject, numberOf, stringOf, withoutUndefined } from "../wire/json.ts";
import type { OnMessage } from "./exchange.ts";
import { type RpcId, type RpcRequest, writeResponse } from "./json-rpc.ts";
import { McpError, METHOD_NOT_FOUND } from "./mcp-error.ts";
import type { McpAnswer, McpProgress, McpQuestion } from "./messages.ts";
import { ELICIT, readQuestion, toElicitResult } from "./questions.ts";

/** What a caller does with what a server sends while it works. `signal`: aborted when the answer is no longer needed. */
export type Listener = {
  onProgress?: (progress: McpProgress) => void;
  onQuestion?: (question: McpQuestion, signal: AbortSignal) => Promise<McpAnswer>;
};

/** `reply`: sends a response to the server; absent: its requests are not answered, as a modern server must not send any. */
type ServerOptions = Listener & {
  progressToken?: RpcId | undefined;
  reply: ((body: string, signal: AbortSignal) => Promise<void>) | undefined;
};

/** Most requests that are answered before a response: a server that sends more floods its client. */
const MAX_REQUESTS = 1_000;

/**
 * Handles what a server sends before its response. Its questions go to the caller; without one to ask they are cancelled. Throws what
 * the caller throws.
 */
export function answerServer({ reply, progressToken, onProgress, onQuestion }: ServerOptions): OnMessage {
  let requests = 0;
  return async (message, signal) => {
    if (message.kind === "notification") {
      const isOwn = progressToken !== undefined && message.params["progressToken"] === progressToken;
      if (message.method !== "notifications/progress" || !isOwn) return;
      const progress = readProgress(message.params);
      if (progress !== undefined) onProgress?.(progress);
      return;
    }
    if (reply === undefined) return;
    if (++requests > MAX_REQUESTS) throw new McpError(`the server sent more than ${MAX_REQUESTS} requests`);
    const outcome = await answerRequest(message, onQuestion, signal);
    if (!signal.aborted) await reply(writeResponse(message.id, outcome), signal);
  };
}

/** MCP 2026-07-28, "Progress". One without a number is ignored. */
function readProgress(params: JsonObject): McpProgress | undefined {
  const progress = numberOf(params["progress"]);
  if (progress === undefined) return undefined;
  const { total, message } = params;
  return withoutUndefined<McpProgress>({ progress, total: numberOf(total), message: stringOf(message) });
}

async function answerRequest(
  { id, method, params }: RpcRequest,
  onQuestion: Listener["onQuestion"],
  signal: AbortSignal,
): Promise<Parameters<typeof writeResponse>[1]> {
  if (method === "ping") return { result: {} };
  if (method !== ELICIT) return { error: { code: METHOD_NOT_FOUND, message: `${method} is not supported` } };
  if (onQuestion === undefined) return { result: toElicitResult({ action: "cancel" }) };
  return { result: toElicitResult(await onQuestion(readQuestion(String(id), params), signal)) };
}
