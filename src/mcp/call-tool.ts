import { isObject, JsonError, type JsonObject, parseJson } from "../wire/json.ts";
import { McpError, URL_REQUIRED } from "./mcp-error.ts";
import type { McpAnswer, McpOutcome } from "./messages.ts";
import { paramHeadersOf } from "./param-headers.ts";
import { readPages, writeAnswers } from "./questions.ts";
import { readOutcome } from "./result.ts";
import type { McpRequestOptions, McpSession } from "./session.ts";

/**
 * A call of a tool. `args`: JSON text of an object, sent byte for byte; "" is an empty one. `schema`: the tool's `inputSchema`. `id`:
 * the same for all repetitions; a server finds it as `idempotencyKey` in `_meta`, and reports progress under it. `answered`: the answers
 * to an outcome `input`, with its `state`.
 */
export type McpCall = {
  name: string;
  args: string;
  schema: JsonObject;
  id: string;
  answered?: { state?: string; answers: Record<string, McpAnswer> };
};

/**
 * Calls a tool. `onQuestion` is for legacy servers, which wait for the answer; modern ones end with an outcome `input` instead. Throws
 * `McpError` if the server reports an error of the protocol, and as `McpSession.request`.
 */
export async function callTool(session: McpSession, call: McpCall, options: McpRequestOptions): Promise<McpOutcome> {
  const args = call.args.trim() || "{}";
  const request = {
    method: "tools/call",
    params: `{"name":${JSON.stringify(call.name)},"arguments":${args}${writeAnswered(call)}}`,
    name: call.name,
    headers: paramHeadersOf(call.schema, parseArguments(args)),
    meta: { idempotencyKey: call.id },
    progressToken: call.id,
  };
  try {
    return readOutcome(await session.request(request, options));
  } catch (thrown) {
    if (!(thrown instanceof McpError) || thrown.code !== URL_REQUIRED) throw thrown;
    return { kind: "input", questions: readPages(thrown.data) };
  }
}

function parseArguments(args: string): JsonObject {
  try {
    const parsed = parseJson(args);
    if (isObject(parsed)) return parsed;
  } catch (thrown) {
    if (!(thrown instanceof JsonError)) throw thrown;
  }
  throw new McpError("the arguments are no JSON object");
}

function writeAnswered({ answered }: McpCall): string {
  if (answered === undefined) return "";
  const state = answered.state === undefined ? "" : `,"requestState":${JSON.stringify(answered.state)}`;
  return `,"inputResponses":${writeAnswers(answered.answers)}${state}`;
}
