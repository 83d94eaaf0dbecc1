import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { PROTOCOL, type SocketAttachment } from "../../gateway/sockets/session-sockets.ts";
import type { Caller } from "../../keys/caller.ts";
import { requireScope } from "../../keys/permissions.ts";
import { newSessionId, sessionObjectId, requireStub } from "../../platform/session-stubs.ts";
import { toUpgradeRequest } from "../../platform/socket-auth.ts";
import { sessionId } from "../../surfaces/rhone.ts";
import { splitSubprotocols } from "../admission/admit.ts";
import { ref } from "../openapi/json-schema.ts";
import { errorResponses, parameter } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { proxySocket } from "./socket-bridge.ts";

/**
 * `GET /v1/ws`. If the session is given by the token or by `?session_id=`, its object holds the connection; otherwise
 * the Worker holds it and forwards frames to the session that the client binds.
 */
export function websocketRoutes(app: OpenAPIHono<AppEnv>): void {
  app.get("/v1/ws", async (c) => {
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket") throw invalid("upgrade", "expected websocket");
    if (!splitSubprotocols(c.req.raw).includes(PROTOCOL))
      throw invalid("sec-websocket-protocol", `expected ${PROTOCOL}`);
    requireScope(c.var.caller, "sessions:read");
    const named = findNamedSession(c);
    if (named !== undefined) return toUpgradeResponse((await connect(c, named)).webSocket!);
    return proxySocket((request) => connect(c, request));
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/v1/ws",
    operationId: "sessions.connect",
    summary: `Opens a WebSocket (${PROTOCOL}) that receives all events of a session and makes calls`,
    parameters: [parameter("BoundSession")],
    responses: { 101: { description: "The connection is open" }, ...errorResponses(400, 404) },
    "x-rhone-websocket": {
      subprotocol: PROTOCOL,
      client: ref("SocketClientFrame"),
      server: ref("SocketServerFrame"),
    },
  });
}

/** A response whose headers can be changed: those of a response from an object are immutable. */
const toUpgradeResponse = (webSocket: WebSocket): Response =>
  new Response(null, { status: 101, webSocket, headers: { "sec-websocket-protocol": PROTOCOL } });

/** The session named by the token, the query or the header, if any. Throws if they contradict one another. */
function findNamedSession({ req, var: { caller } }: Context<AppEnv>): string | undefined {
  const request = req.query("session_id") ?? req.header("x-rhone-session-id");
  if (request !== undefined && !sessionId.safeParse(request).success)
    throw invalid("session_id", "expected sess_ and up to 128 of A-Z a-z 0-9 _ . : -");
  if (caller.session !== undefined && request !== undefined && request !== caller.session)
    throw new GatewayError("auth.forbidden", `the client token is valid for ${caller.session} only`);
  return caller.session ?? request;
}

/** Opens a connection to the session's object; to a new session's if none is named. Throws `session.not_found`. */
async function connect(c: Context<AppEnv>, named: string | undefined): Promise<Response> {
  const { SESSIONS } = c.env;
  const { caller } = c.var;
  const isNew = named === undefined;
  const { id, objectId } = isNew
    ? newSessionId(SESSIONS)
    : { id: named, objectId: sessionObjectId(SESSIONS, caller.org, named) };
  const attachment = attachmentFor(c, caller, { sessionId: id, isNew });
  return await fromRpcResponse(await requireStub(SESSIONS, objectId).fetch(toUpgradeRequest(attachment)));
}

/** What the session's object stores with the socket, so that it can authenticate the caller again after hibernation. */
function attachmentFor(
  { req }: Context<AppEnv>,
  caller: Caller,
  { sessionId, isNew }: { sessionId: string; isNew: boolean },
): SocketAttachment {
  const address = req.header("cf-connecting-ip");
  const { org, keyId, session, policy, expiresAt } = caller;
  return {
    org,
    keyId,
    sessionId,
    isNew,
    isBound: false,
    ...(session !== undefined && policy !== undefined && { scopes: policy.scopes }),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(address !== undefined && { address }),
  };
}
