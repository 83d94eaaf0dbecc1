import type { OutboundNetwork } from "../outbound/bounded-fetch.ts";
import type { JsonObject } from "../wire/json.ts";
import type { McpAuthorization } from "./authorization.ts";
import { connect, type Connection, headersFor, resultOf } from "./connect.ts";
import { type Answer, exchange, notify, type Post } from "./exchange.ts";
import { writeNotification, writeRequest } from "./json-rpc.ts";
import { McpError, UNSUPPORTED_VERSION } from "./mcp-error.ts";
import type { McpEndpoint } from "./messages.ts";
import { encodeHeader } from "./param-headers.ts";
import { prepareSending } from "./preparation.ts";
import { metaOf } from "./protocol.ts";
import { answerServer, type Listener } from "./server-requests.ts";

/**
 * A request. `params`: JSON text of an object, sent as it is, with `_meta` before its members. `name`: what the request is about.
 * `headers`: more of them, for modern servers only. `progressToken`: its progress is to be reported under it.
 */
export type McpRequest = {
  method: string;
  params: string;
  name?: string;
  headers?: Record<string, string>;
  meta?: JsonObject;
  progressToken?: string;
};

export type McpRequestOptions = Listener & { signal: AbortSignal };

/** What an object remembers of a server while it is in memory. */
export type McpSession = {
  /** The result of a request. Throws `McpError`, `OutboundError`, `UrlRefusal`, and the signal's reason. */
  request: (request: McpRequest, options: McpRequestOptions) => Promise<JsonObject>;
};

type SessionOptions = { network: OutboundNetwork; authorization?: McpAuthorization };

/** How long the news that a request is given up may take. Milliseconds. */
const CANCEL_MS = 5_000;

/**
 * A session with a server, which is connected to by the first request. Requests at the same time share one connection. One that the
 * server has forgotten is opened anew once a request, and the request repeated: the server has not taken it. The same holds for a token
 * that it no longer accepts.
 */
export function createMcpSession(endpoint: McpEndpoint, { network, authorization }: SessionOptions): McpSession {
  let connection: Promise<Connection> | undefined;
  let lastId = 0;
  const nextId = (): number => ++lastId;

  /** Lives as long as itself, not as long as the request that was first: others wait for it. */
  const open = (authorized: McpEndpoint): Promise<Connection> => {
    const opening = prepareSending("connecting to the server", (signal) =>
      connect({ endpoint: authorized, network, signal, nextId }),
    );
    opening.catch(() => forget(opening));
    return opening;
  };
  const forget = (opened: Promise<Connection>): void => {
    if (connection === opened) connection = undefined;
  };

  /** `isRefused`: the server has not taken the request, and may take it at another try. */
  const attempt = async (
    request: McpRequest,
    options: McpRequestOptions,
    token: string | undefined,
  ): Promise<{ answer: Answer; isRefused: boolean }> => {
    const authorized = token === undefined ? endpoint : withToken(endpoint, token);
    const opened = (connection ??= open(authorized));
    const current = await waitFor(opened, options.signal);
    const answer = await send(request, options, { connection: current, endpoint: authorized, network, id: nextId() });
    const state = checkConnection(answer, current);
    if (state !== "valid") forget(opened);
    return { answer, isRefused: state === "forgotten" || (token !== undefined && answer.status === 401) };
  };

  return {
    async request(request, options) {
      for (let isRepeated = false; ; isRepeated = true) {
        options.signal.throwIfAborted();
        const token = authorization && (await waitFor(authorization.getToken(), options.signal));
        try {
          const { answer, isRefused } = await attempt(request, options, token);
          if (!isRefused || isRepeated) return resultOf(answer);
          if (answer.status === 401) authorization?.forget(token!);
        } catch (thrown) {
          if (token !== undefined && thrown instanceof McpError && thrown.status === 401) authorization?.forget(token);
          throw thrown;
        }
      }
    },
  };
}

/** The token takes the place of a header of the endpoint's own. */
function withToken({ url, headers: own }: McpEndpoint, token: string): McpEndpoint {
  const headers = new Headers(own);
  headers.set("authorization", `Bearer ${token}`);
  return { url, headers: Object.fromEntries(headers) };
}

type Sending = { connection: Connection; endpoint: McpEndpoint; network: OutboundNetwork; id: number };

async function send(request: McpRequest, options: McpRequestOptions, sending: Sending): Promise<Answer> {
  const { connection, endpoint, network, id } = sending;
  const { signal } = options;
  const postOf = (body: string): Post => ({ url: endpoint.url, headers: headersFor(endpoint, connection), body });
  const isLegacy = connection.era === "legacy";
  const post = postOf(writeRequest(id, request.method, paramsOf(request, connection)));
  if (!isLegacy) setRequestHeaders(post.headers, request);
  const reply = (body: string, until: AbortSignal): Promise<void> => notify(postOf(body), { network, signal: until });
  const onMessage = answerServer({
    ...options,
    progressToken: request.progressToken,
    reply: isLegacy ? reply : undefined,
  });
  try {
    return await exchange(post, id, { network, signal, onMessage });
  } catch (thrown) {
    // To a modern server, the closed connection says the same (MCP 2026-07-28, "Cancellation").
    if (isLegacy && signal.aborted) {
      const body = writeNotification("notifications/cancelled", JSON.stringify({ requestId: id }));
      notify(postOf(body), { network, signal: AbortSignal.timeout(CANCEL_MS) }).catch(() => {});
    }
    throw thrown;
  }
}

function paramsOf({ params, meta = {}, progressToken }: McpRequest, { era, version }: Connection): string {
  const own = progressToken === undefined ? meta : { ...meta, progressToken };
  if (era === "legacy" && Object.keys(own).length === 0) return params;
  const text = era === "modern" ? metaOf(version, own) : JSON.stringify(own);
  const members = params.slice(1, -1).trim();
  return `{"_meta":${text}${members === "" ? "" : `,${members}`}}`;
}

/** Members of the body, for those who route by headers (MCP 2026-07-28, "Request metadata"). */
function setRequestHeaders(headers: Headers, { method, name, headers: own = {} }: McpRequest): void {
  headers.set("mcp-method", method);
  if (name !== undefined) headers.set("mcp-name", encodeHeader(name));
  for (const [header, value] of Object.entries(own)) headers.set(header, value);
}

/**
 * Whether a connection is still valid. `forgotten`: the server has not taken the request, since it does not know the session or no
 * longer has the version. `doubtful`: it answers as no modern server does, so that the next request asks anew which protocol it has.
 */
function checkConnection({ status, response }: Answer, connection: Connection): "valid" | "forgotten" | "doubtful" {
  const error = response !== undefined && "error" in response ? response.error : undefined;
  if (connection.era === "modern") {
    if (error !== undefined) return error.code === UNSUPPORTED_VERSION ? "forgotten" : "valid";
    return DOUBTFUL.has(status) ? "doubtful" : "valid";
  }
  if (connection.sessionId === undefined) return "valid";
  // MCP 2025-11-25, "Session management", requires 404; servers made after the official examples answer 400.
  const isAboutSession = error === undefined || /session/i.test(error.message);
  const isUnknown =
    (status === 404 && isAboutSession) || (status === 400 && /no valid session/i.test(error?.message ?? ""));
  return isUnknown ? "forgotten" : "valid";
}

/** A modern server sends these with an error of the protocol. */
const DOUBTFUL = new Set([400, 404, 405]);

/** The value, unless the signal is aborted before. Throws its reason. */
function waitFor<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", abort));
}
