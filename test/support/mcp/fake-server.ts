import { callTool } from "../../../src/mcp/call-tool.ts";
import type { McpOutcome } from "../../../src/mcp/messages.ts";
import { createMcpSession, type McpSession } from "../../../src/mcp/session.ts";
import type { OutboundNetwork } from "../../../src/outbound/bounded-fetch.ts";
import type { JsonObject } from "../../../src/wire/json.ts";

/** A message as the server gets it. `text`: its exact body. */
export type Received = {
  id: unknown;
  method: string | undefined;
  params: JsonObject;
  headers: Headers;
  text: string;
  signal: AbortSignal;
};

type Answering = (received: Received) => Response | Promise<Response>;

export const URL_OF_SERVER = "https://mcp.example.com/mcp";

/** A session with a server that is a function, and what it has received. */
export function openSession(
  answer: Answering,
  headers: Record<string, string> = {},
): { session: McpSession; received: Received[]; network: OutboundNetwork } {
  const received: Received[] = [];
  const fetching = (async (_: unknown, init: RequestInit) => {
    init.signal?.throwIfAborted();
    const text = init.body as string;
    const message = JSON.parse(text) as Partial<Received>;
    const seen = {
      id: message.id,
      method: message.method,
      params: message.params ?? {},
      headers: new Headers(init.headers),
      text,
      signal: init.signal!,
    };
    received.push(seen);
    return await answer(seen);
  }) as typeof fetch;
  const network: OutboundNetwork = {
    reach: { own: new Set(), registered: new Set() },
    fetchPublic: fetching,
    fetchRegistered: fetching,
  };
  return { session: createMcpSession({ url: URL_OF_SERVER, headers }, { network }), received, network };
}

export const toJson = (body: unknown, status = 200, headers: Record<string, string> = {}): Response =>
  new Response(typeof body === "string" ? body : JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", ...headers },
  });

export const toResult = (id: unknown, result: unknown): unknown => ({ jsonrpc: "2.0", id, result });

export const toError = (id: unknown, code: number, message = "refused", data?: unknown): unknown => ({
  jsonrpc: "2.0",
  id,
  error: { code, message, data },
});

export const encodeEvents = (...messages: unknown[]): string =>
  messages.map((message) => `event: message\ndata: ${JSON.stringify(message)}\n\n`).join("");

/** A stream of events that ends after these bytes, or stays open. */
export function toEvents(chunks: readonly (string | Uint8Array)[], { isOpen = false } = {}): Response {
  const bytes = chunks.map((chunk) => (typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk));
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of bytes) if (chunk.length > 0) controller.enqueue(chunk);
      if (!isOpen) controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

const DISCOVERED = {
  resultType: "complete",
  supportedVersions: ["2026-07-28"],
  capabilities: { tools: {} },
  serverInfo: { name: "fake", version: "1" },
};

/** A modern server: the answer is to everything but `server/discover`. */
export const modern =
  (answer: Answering): Answering =>
  (received) =>
    received.method === "server/discover" ? toJson(toResult(received.id, DISCOVERED)) : answer(received);

/** A legacy server with sessions: the answer is to everything but the handshake. */
export const legacy =
  (answer: Answering, { version = "2025-11-25", sessionId = "s-1" } = {}): Answering =>
  (received) => {
    const { id, method } = received;
    if (method === "server/discover") return toJson(toError(id, -32000, "Bad Request: No valid session ID"), 400);
    if (method === "initialize")
      return toJson(toResult(id, { protocolVersion: version, capabilities: {}, serverInfo: {} }), 200, {
        "mcp-session-id": sessionId,
      });
    if (method === "notifications/initialized") return new Response(null, { status: 202 });
    return answer(received);
  };

/** A call of a tool of this result. */
export const call = { name: "echo", args: '{"message":"hi"}', schema: { type: "object" }, id: "tex_1" };
export const never = (): { signal: AbortSignal } => ({ signal: new AbortController().signal });

/** What a call comes to that a modern server answers with this result. */
export const callFor = (result: unknown): Promise<McpOutcome> =>
  callTool(openSession(modern(({ id }) => toJson(toResult(id, result)))).session, call, never());

/** A question of a server to a person. */
export const QUESTION = {
  method: "elicitation/create",
  params: { message: "Deploy?", requestedSchema: { type: "object", properties: { yes: { type: "boolean" } } } },
};
