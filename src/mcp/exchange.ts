import { openBounded, OutboundError, type OutboundNetwork, readBounded } from "../outbound/bounded-fetch.ts";
import { concatBytes, decodeUtf8Strictly } from "../wire/bytes.ts";
import { SseSplitter } from "../wire/sse.ts";
import {
  isResponseTo,
  readMessage,
  type RpcId,
  type RpcNotification,
  type RpcRequest,
  type RpcResponse,
} from "./json-rpc.ts";
import { McpError } from "./mcp-error.ts";

/** A message as it is sent. */
export type Post = { url: string; headers: Headers; body: string };

/** What a server has answered a request with. `response`: absent only with a status other than 2xx. */
export type Answer = { status: number; headers: Headers; response: RpcResponse | undefined };

/** What a server sends before its response. A handler that throws ends the exchange; `signal` is aborted at its end. */
export type OnMessage = (message: RpcRequest | RpcNotification, signal: AbortSignal) => Promise<void>;

type ExchangeOptions = { network: OutboundNetwork; signal: AbortSignal; onMessage: OnMessage };

/** Most that is read of one answer, over all its events, after decompression. */
export const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

const ACCEPT = "application/json, text/event-stream";

/**
 * Sends a request and reads its answer up to the response with its id: one JSON text or a stream of events (MCP 2026-07-28, "Streamable
 * HTTP"). The rest of a stream is not waited for. Throws `McpError` on an answer of another kind; `OutboundError` if the stream ends
 * without a response; otherwise as `openBounded`.
 */
export async function exchange(
  post: Post,
  id: RpcId,
  { network, signal, onMessage }: ExchangeOptions,
): Promise<Answer> {
  const end = new AbortController();
  const both = AbortSignal.any([signal, end.signal]);
  const receive = (message: RpcRequest | RpcNotification): void =>
    void onMessage(message, both).catch((reason: unknown) => end.abort(reason));
  try {
    const response = await open(post, both, network);
    const { status, headers } = response;
    if (!response.ok) return { status, headers, response: await readFailure(response, id, both) };
    const reading = isStream(response)
      ? readStream(response, id, { signal: both, receive })
      : readWhole(response, id, both);
    return { status, headers, response: await reading };
  } finally {
    end.abort();
  }
}

/** Sends a notification or a response. Throws `McpError` unless the server accepts it; otherwise as `openBounded`. */
export async function notify(
  post: Post,
  { network, signal }: { network: OutboundNetwork; signal: AbortSignal },
): Promise<void> {
  const response = await open(post, signal, network);
  const { status } = response;
  void response.body?.cancel().catch(() => {});
  if (!response.ok) throw new McpError(`the server refused a message with status ${status}`, { status });
}

function open({ url, headers: own, body }: Post, signal: AbortSignal, network: OutboundNetwork): Promise<Response> {
  const headers = new Headers(own);
  headers.set("content-type", "application/json");
  headers.set("accept", ACCEPT);
  return openBounded(url, { method: "POST", headers, body, signal }, network);
}

const isStream = ({ headers }: Response): boolean => /^text\/event-stream\b/i.test(headers.get("content-type") ?? "");

/** The error of an answer that is no success; absent if its body is something else. A stream might not end, and is not read. */
async function readFailure(response: Response, id: RpcId, signal: AbortSignal): Promise<RpcResponse | undefined> {
  if (isStream(response)) return undefined;
  try {
    const message = await readWhole(response, id, signal);
    return "error" in message ? message : undefined;
  } catch (thrown) {
    if (thrown instanceof McpError || thrown instanceof OutboundError) return undefined;
    throw thrown;
  }
}

async function readWhole(response: Response, id: RpcId, signal: AbortSignal): Promise<RpcResponse> {
  const parts: Uint8Array[] = [];
  for await (const chunk of readLimited(response, signal)) parts.push(chunk);
  const message = readMessage(decode(concatBytes(parts)));
  if (message.kind === "response" && isResponseTo(message, id)) return message;
  throw new McpError("the server sent a message that does not answer the request");
}

async function readStream(
  response: Response,
  id: RpcId,
  { signal, receive }: { signal: AbortSignal; receive: (message: RpcRequest | RpcNotification) => void },
): Promise<RpcResponse> {
  const splitter = new SseSplitter();
  for await (const chunk of readLimited(response, signal))
    for (const { event = "message", data = "" } of splitter.push(chunk)) {
      // An event without data gives a client an id to resume from (MCP 2025-11-25, "Sending messages to the server").
      if (event !== "message" || data === "") continue;
      const message = readMessage(data);
      if (message.kind !== "response") receive(message);
      else if (isResponseTo(message, id)) return message;
    }
  throw new OutboundError("the server ended its answer without a response", { isSent: true });
}

async function* readLimited(response: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const isCut = yield* readBounded(response, { maxBytes: MAX_ANSWER_BYTES, signal });
  if (isCut) throw new McpError(`the server sent more than ${MAX_ANSWER_BYTES} bytes`);
}

function decode(bytes: Uint8Array): string {
  const text = decodeUtf8Strictly(bytes);
  if (text === undefined) throw new McpError("the server sent no UTF-8");
  return text;
}
