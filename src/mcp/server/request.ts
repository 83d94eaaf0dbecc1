import { isObject, JsonError, type Json, type JsonObject, parseJson, stringOf } from "../../wire/json.ts";
import { scanObject } from "../../wire/scan.ts";
import { sliceSpan } from "../../wire/splice.ts";
import type { RpcId } from "../json-rpc.ts";
import { decodeHeader } from "../param-headers.ts";
import { LEGACY_VERSIONS, MODERN_VERSIONS } from "../protocol.ts";
import { Refusal } from "./refusal.ts";

/**
 * A message of a client. `isModern`: it says all about itself (MCP 2026-07-28). `asksPeople`: the client puts questions to people.
 * `args`: the JSON text of `params.arguments`.
 */
export type ClientRequest = {
  id: RpcId;
  method: string;
  params: JsonObject;
  args: string;
  isModern: boolean;
  asksPeople: boolean;
};

/** JSON-RPC 2.0, "Error object". */
const PARSE_ERROR = -32700;
const INVALID_REQUEST = -32600;
/** MCP 2026-07-28, "Error codes". */
const HEADER_MISMATCH = -32020;
const UNSUPPORTED_VERSION = -32022;

const META = "io.modelcontextprotocol";
const ALL_VERSIONS: readonly string[] = [...MODERN_VERSIONS, ...LEGACY_VERSIONS];

/** Reads the body of a POST. Undefined: a notification, or a client's answer, to which nothing is answered. Throws `Refusal`. */
export function readClientMessage(text: string, headers: Headers): ClientRequest | undefined {
  const message = parseMessage(text);
  const { id, method } = message;
  if (id !== undefined && typeof id !== "string" && !Number.isInteger(id))
    throw new Refusal(INVALID_REQUEST, "id: expected a text or an integer", { status: 400 });
  if (method !== undefined && typeof method !== "string")
    throw new Refusal(INVALID_REQUEST, "method: expected a text", { status: 400 });
  if (id === undefined || method === undefined) return undefined;
  const params = isObject(message.params) ? message.params : {};
  const meta = isObject(params._meta) ? params._meta : {};
  const request = { id: id as RpcId, method, params };
  const isModern = checkVersion(request.id, stringOf(meta[`${META}/protocolVersion`]), headers);
  if (isModern) checkHeaders(request, headers);
  const capabilities = meta[`${META}/clientCapabilities`];
  const elicitation = isObject(capabilities) ? capabilities.elicitation : undefined;
  // Without modes it is that of forms.
  const asksPeople = isObject(elicitation) && (Object.keys(elicitation).length === 0 || "form" in elicitation);
  return { ...request, args: findArguments(text), isModern, asksPeople };
}

function parseMessage(text: string): JsonObject {
  let message: Json;
  try {
    message = parseJson(text);
  } catch (thrown) {
    if (!(thrown instanceof JsonError)) throw thrown;
    throw new Refusal(PARSE_ERROR, `expected JSON: ${thrown.message}`, { status: 400 });
  }
  if (isObject(message) && message.jsonrpc === "2.0") return message;
  throw new Refusal(INVALID_REQUEST, "expected one message of JSON-RPC 2.0", { status: 400 });
}

/** Whether the request is one of a modern version. Throws `Refusal` for a version that the gateway has not. */
function checkVersion(id: RpcId, inBody: string | undefined, headers: Headers): boolean {
  const inHeader = headers.get("mcp-protocol-version") ?? undefined;
  const requested = inBody ?? inHeader;
  if (requested !== undefined && !ALL_VERSIONS.includes(requested))
    throw new Refusal(UNSUPPORTED_VERSION, "Unsupported protocol version", {
      id,
      status: 400,
      data: { supported: ALL_VERSIONS, requested },
    });
  const isModern = MODERN_VERSIONS.some((version) => version === requested);
  if (isModern && inBody !== inHeader) throw mismatch(id, "MCP-Protocol-Version");
  return isModern;
}

/** What headers repeat must be the same there (MCP 2026-07-28, "Server validation"). */
function checkHeaders({ id, method, params }: Pick<ClientRequest, "id" | "method" | "params">, headers: Headers): void {
  if (headers.get("mcp-method") !== method) throw mismatch(id, "Mcp-Method");
  const name = headers.get("mcp-name");
  if (method === "tools/call" && (name === null || decodeHeader(name) !== params.name)) throw mismatch(id, "Mcp-Name");
}

export const mismatch = (id: RpcId, header: string): Refusal =>
  new Refusal(HEADER_MISMATCH, `Header mismatch: ${header} is not what the body says`, { id, status: 400 });

/** The text of a member of an object. */
function valueOf(object: string, key: string): string | undefined {
  const member = scanObject(object).members.findLast((one) => one.key === key);
  return member && sliceSpan(object, member.value);
}

/** The arguments as the client has written them. */
function findArguments(text: string): string {
  const params = valueOf(text, "params");
  return (params?.startsWith("{") === true ? valueOf(params, "arguments") : undefined) ?? "{}";
}
