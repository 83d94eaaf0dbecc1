import { type Json, type JsonObject, isObject, JsonError, numberOf, parseJson, stringOf } from "../wire/json.ts";
import { McpError } from "./mcp-error.ts";

/** JSON-RPC 2.0 with MCP's restrictions: ids are texts or integers, and nothing is sent in a batch. */
export type RpcId = string | number;
export type RpcError = { code: number; message: string; data: Json | undefined };
/** `id`: absent in an error about a request that could not be read. */
export type RpcResponse = { kind: "response"; id: RpcId | undefined; result: JsonObject } | RpcFailure;
type RpcFailure = { kind: "response"; id: RpcId | undefined; error: RpcError };
export type RpcRequest = { kind: "request"; id: RpcId; method: string; params: JsonObject };
export type RpcNotification = { kind: "notification"; method: string; params: JsonObject };
export type RpcMessage = RpcResponse | RpcRequest | RpcNotification;

/** One message that a server has sent. Throws `McpError` on anything else. */
export function readMessage(text: string): RpcMessage {
  const message = parse(text);
  if (Array.isArray(message)) throw new McpError("the server sent a batch; expected one JSON-RPC message");
  if (!isObject(message) || message["jsonrpc"] !== "2.0") throw new McpError("the server sent no JSON-RPC message");
  const id = readId(message["id"]);
  const method = message["method"];
  if (method === undefined) return readResponse(message, id);
  if (typeof method !== "string") throw new McpError("the server sent a message whose method is no text");
  const params = isObject(message["params"]) ? message["params"] : {};
  return id === undefined ? { kind: "notification", method, params } : { kind: "request", id, method, params };
}

function parse(text: string): Json {
  if (text.trim() === "") throw new McpError("the server sent an empty answer");
  try {
    return parseJson(text);
  } catch (thrown) {
    throw thrown instanceof JsonError ? new McpError(`the server sent no JSON: ${thrown.message}`) : thrown;
  }
}

function readId(id: Json | undefined): RpcId | undefined {
  if (id === undefined || id === null) return undefined;
  if (typeof id === "string" || typeof id === "number") return id;
  throw new McpError("the server sent a message whose id is neither text nor number");
}

function readResponse({ result, error }: JsonObject, id: RpcId | undefined): RpcResponse {
  if (isObject(error)) {
    const code = numberOf(error["code"]);
    const message = stringOf(error["message"]);
    if (code === undefined || message === undefined)
      throw new McpError("the server sent an error without code or text");
    return { kind: "response", id, error: { code, message, data: error["data"] } };
  }
  if (!isObject(result)) throw new McpError("the server sent a response without an object as its result");
  return { kind: "response", id, result };
}

/** Whether a response belongs to a request: by its id, or as an error about a request that could not be read. */
export const isResponseTo = (response: RpcResponse, id: RpcId): boolean =>
  response.id === id || (response.id === undefined && "error" in response);

/** `params`: JSON text, sent as it is. */
export const writeRequest = (id: RpcId, method: string, params: string): string =>
  `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"method":${JSON.stringify(method)},"params":${params}}`;

/** `params`: JSON text, sent as it is; absent: none. */
export const writeNotification = (method: string, params?: string): string =>
  `{"jsonrpc":"2.0","method":${JSON.stringify(method)}${params === undefined ? "" : `,"params":${params}`}}`;

/** The answer to a request of the server. */
export const writeResponse = (
  id: RpcId,
  outcome: { result: JsonObject } | { error: { code: number; message: string } },
): string => JSON.stringify({ jsonrpc: "2.0", id, ...outcome });
