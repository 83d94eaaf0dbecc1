import type { OutboundNetwork } from "../outbound/bounded-fetch.ts";
import { isObject, type Json, type JsonObject, stringOf } from "../wire/json.ts";
import { type Answer, exchange, notify } from "./exchange.ts";
import { type RpcError, writeNotification, writeRequest } from "./json-rpc.ts";
import { isModernCode, McpError, METHOD_NOT_FOUND, UNSUPPORTED_VERSION } from "./mcp-error.ts";
import type { McpEndpoint } from "./messages.ts";
import { CLIENT_CAPABILITIES, CLIENT_INFO, LEGACY_VERSIONS, metaOf, MODERN_VERSIONS } from "./protocol.ts";
import { answerServer } from "./server-requests.ts";

/**
 * What is known of a server. Modern: each request says all about itself. Legacy: a session was opened by `initialize`; `sessionId` if
 * the server has given one.
 */
export type Connection = { era: "modern"; version: string } | { era: "legacy"; version: string; sessionId?: string };

export type Peer = { endpoint: McpEndpoint; network: OutboundNetwork; signal: AbortSignal; nextId: () => number };

/**
 * Finds out which protocol a server has, by a request that changes nothing: `server/discover`, which every modern server has (MCP
 * 2026-07-28, "Versioning"). A legacy one refuses it, and gets `initialize`. Throws `McpError`, and as `exchange`.
 */
export const connect = async (peer: Peer): Promise<Connection> => (await discover(peer)) ?? (await initialize(peer));

/** Undefined: the server is a legacy one. */
async function discover(peer: Peer): Promise<Connection | undefined> {
  const [version] = MODERN_VERSIONS;
  const headers = headersFor(peer.endpoint, { era: "modern", version });
  headers.set("mcp-method", "server/discover");
  const answer = await post(peer, headers, { method: "server/discover", params: `{"_meta":${metaOf(version, {})}}` });
  const { status, response } = answer;
  requirePermission(status);
  if (response === undefined) {
    if (status >= 400 && status < 500) return undefined;
    throw toStatusError(status);
  }
  if (!("error" in response)) return chooseVersion(response.result["supportedVersions"]);
  const { code, data } = response.error;
  if (code === UNSUPPORTED_VERSION) return chooseVersion(isObject(data) ? data["supported"] : undefined);
  if (isModernCode(code)) throw toMcpError(response.error, status);
  // A modern server without the method answers as to any unknown one; a legacy one has no status for it.
  return status === 404 && code === METHOD_NOT_FOUND ? { era: "modern", version } : undefined;
}

/** The newest version that both have, if it is a modern one. A server that lists none is a legacy one. Throws `McpError`. */
function chooseVersion(supported: Json | undefined): Connection | undefined {
  if (!Array.isArray(supported)) return undefined;
  const version = MODERN_VERSIONS.find((known) => supported.includes(known));
  if (version !== undefined) return { era: "modern", version };
  if (LEGACY_VERSIONS.some((known) => supported.includes(known))) return undefined;
  throw toVersionError(supported.map(String).join(", "));
}

const toVersionError = (theirs: string): McpError =>
  new McpError(
    `the server speaks MCP ${theirs}; the gateway speaks ${[...MODERN_VERSIONS, ...LEGACY_VERSIONS].join(", ")}`,
    { code: UNSUPPORTED_VERSION },
  );

/** Opens a session (MCP 2025-11-25, "Lifecycle"). */
async function initialize(peer: Peer): Promise<Connection> {
  const offer = {
    protocolVersion: LEGACY_VERSIONS[0],
    capabilities: CLIENT_CAPABILITIES.legacy,
    clientInfo: CLIENT_INFO,
  };
  const answer = await post(peer, new Headers(peer.endpoint.headers), {
    method: "initialize",
    params: JSON.stringify(offer),
  });
  const version = stringOf(resultOf(answer)["protocolVersion"]);
  if (version === undefined) throw new McpError("the server opened a session without a protocol version");
  if (!LEGACY_VERSIONS.some((known) => known === version)) throw toVersionError(version);
  const sessionId = answer.headers.get("mcp-session-id");
  const connection: Connection = { era: "legacy", version, ...(sessionId !== null && { sessionId }) };
  const headers = headersFor(peer.endpoint, connection);
  await notify({ url: peer.endpoint.url, headers, body: writeNotification("notifications/initialized") }, peer);
  return connection;
}

function post(
  { endpoint, network, signal, nextId }: Peer,
  headers: Headers,
  { method, params }: { method: string; params: string },
): Promise<Answer> {
  const id = nextId();
  const onMessage = answerServer({ reply: undefined });
  return exchange({ url: endpoint.url, headers, body: writeRequest(id, method, params) }, id, {
    network,
    signal,
    onMessage,
  });
}

/** The headers that every message of a connection has. The caller's own do not replace them. */
export function headersFor({ headers: own }: McpEndpoint, connection: Connection): Headers {
  const headers = new Headers(own);
  headers.set("mcp-protocol-version", connection.version);
  if (connection.era === "legacy" && connection.sessionId !== undefined)
    headers.set("mcp-session-id", connection.sessionId);
  return headers;
}

/** The result of an answer. Throws `McpError` if it is an error. */
export function resultOf({ status, response }: Answer): JsonObject {
  requirePermission(status);
  if (response === undefined) throw toStatusError(status);
  if ("error" in response) throw toMcpError(response.error, status);
  return response.result;
}

const toMcpError = ({ code, message, data }: RpcError, status: number): McpError =>
  new McpError(message, { code, data, ...(status !== 200 && { status }) });

function requirePermission(status: number): void {
  if (status === 401) throw new McpError("the server does not accept the credentials (status 401)", { status });
  if (status === 403) throw new McpError("the server does not permit the request (status 403)", { status });
}

const toStatusError = (status: number): McpError =>
  new McpError(
    status >= 300 && status < 400
      ? `the server redirects (status ${status}); give the URL that it leads to`
      : `the server answered with status ${status}`,
    { status },
  );
