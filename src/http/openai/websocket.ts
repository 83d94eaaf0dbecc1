import type { OpenAPIHono } from "@hono/zod-openapi";
import { GatewayError } from "../../canonical/error.ts";
import { withTranscript } from "../../gateway/responses/connection-transcripts.ts";
import { readRequestedState } from "../../gateway/responses/state.ts";
import { prepare } from "../../gateway/responses/warm-up.ts";
import {
  type Continuable,
  type FrameAnswer,
  MAX_CONNECTION_MS,
  ResponsesSocket,
} from "../../gateway/responses/websocket.ts";
import { requireSurface } from "../../keys/permissions.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { parseRequest, readMembers } from "../../surfaces/request.ts";
import { namesConversation, type TextInference } from "../inference/in-session.ts";
import { inferText } from "../inference/infer.ts";
import { ref } from "../openapi/json-schema.ts";
import { errorResponses } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

/** RFC 6455: the server ends a connection that has lasted too long. */
const GOING_AWAY = 1001;

/** OpenAI's WebSocket mode (OpenAI API reference, Responses). The Worker holds the connection; no state has to outlive it. */
export function responsesSocketRoutes(app: OpenAPIHono<AppEnv>): void {
  app.get("/v1/responses", (c) => {
    const { caller } = c.var;
    requireSurface(caller, "responses");
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket")
      throw new GatewayError(
        "route.not_found",
        "there is no such route: POST creates a response, and a WebSocket may be opened here",
      );
    const { 0: client, 1: server } = new WebSocketPair();
    server.accept();
    const { headers } = c.req.raw;
    const socket = new ResponsesSocket(server, async (text, continuable) => {
      // The key may have been revoked or changed since the connection was opened.
      const now = await c.var.reauthenticate();
      requireSurface(now, "responses");
      const body = { text, headers, createdAt: Date.now() };
      const { unstored } = continuable;
      const inference = { body, unstored, surface: "responses", caller: now, env: c.env, ctx: c.executionCtx } as const;
      return await answerFrame(inference, continuable);
    });
    server.addEventListener("message", ({ data }) => void socket.receive(data as string | ArrayBuffer));
    const age = setTimeout(() => {
      socket.expire();
      server.close(GOING_AWAY, "the connection has lasted 60 minutes");
    }, MAX_CONNECTION_MS);
    server.addEventListener("close", () => {
      clearTimeout(age);
      socket.close();
    });
    return new Response(null, { status: 101, webSocket: client });
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/v1/responses",
    operationId: "responses.connect",
    summary: "Opens a WebSocket that takes response.create frames and sends the events of their streams",
    responses: { 101: { description: "The connection is open" }, ...errorResponses(404) },
    "x-rhone-websocket": { client: ref("ResponseCreateFrame"), server: ref("ResponseStreamEvent") },
  });
}

/**
 * Answers a request as over HTTP. If the client names its conversation, it is answered with the whole transcript, which the
 * connection keeps: it then stands in that conversation as all others of it.
 */
async function answerFrame(inference: TextInference, { transcripts }: Continuable): Promise<FrameAnswer> {
  const { text, headers, createdAt } = inference.body;
  const surface = SURFACES.responses;
  const request = readMembers(text, headers, surface);
  const whole = namesConversation(request, inference) ? withTranscript(request, transcripts) : undefined;
  // A stored response, or one that is gone.
  if (whole === undefined) return { response: await inferText(inference) };
  const body = { ...inference.body, text: whole.text };
  const response = readRequestedState(request).isWarmUp
    ? prepare(parseRequest(readMembers(whole.text, headers, surface), surface), createdAt)
    : await inferText({ ...inference, body });
  return { response, transcript: whole.transcript };
}
