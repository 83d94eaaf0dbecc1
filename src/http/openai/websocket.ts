import type { OpenAPIHono } from "@hono/zod-openapi";
import { GatewayError } from "../../canonical/error.ts";
import { MAX_CONNECTION_MS, ResponsesSocket } from "../../gateway/responses/websocket.ts";
import { requireSurface } from "../../keys/permissions.ts";
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
    const socket = new ResponsesSocket(server, async (text, unstored) => {
      // The key may have been revoked or changed since the connection was opened.
      const now = await c.var.reauthenticate();
      requireSurface(now, "responses");
      return await inferText({
        body: { text, headers, createdAt: Date.now() },
        unstored,
        surface: "responses",
        caller: now,
        env: c.env,
        ctx: c.executionCtx,
      });
    });
    server.addEventListener("message", ({ data }) => void socket.receive(data as string | ArrayBuffer));
    const age = setTimeout(() => {
      socket.expire();
      server.close(GOING_AWAY, "the connection has lasted 60 minutes");
    }, MAX_CONNECTION_MS);
    server.addEventListener("close", () => clearTimeout(age));
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
