import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { PROTOCOL, type SocketAttachment } from "../../gateway/sockets/session-sockets.ts";
import { toUpgradeRequest } from "../../platform/socket-ticket.ts";
import type { AppEnv } from "../request/env.ts";
import { proxySocket } from "./socket-bridge.ts";
import { newSessionId, sessionObjectId, requireStub } from "../../platform/session-stubs.ts";
import type { Caller } from "../../keys/caller.ts";
import { requireScope } from "../../keys/permissions.ts";
import { sessionId } from "../../surfaces/rhone.ts";

/** Browsers cannot set headers: their client token is a second subprotocol. */
const TOKEN = "rhone.token.";

/** The client token among a request's subprotocols. */
export const tokenFromSubprotocols = (protocols: string | undefined): string | undefined =>
  listed(protocols)
    .find((name) => name.startsWith(TOKEN))
    ?.slice(TOKEN.length);

const listed = (protocols: string | undefined): string[] => (protocols ?? "").split(",").map((name) => name.trim());

/**
 * `GET /v1/ws`. Where the session is known, by the token or `?session_id=`, its object holds the connection; otherwise
 * the Worker does, and joins it to whatever session its client binds.
 */
export function websocketRoutes(app: OpenAPIHono<AppEnv>): void {
  app.get("/v1/ws", async (c) => {
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket") throw invalid("upgrade", "expected websocket");
    if (!listed(c.req.header("sec-websocket-protocol")).includes(PROTOCOL))
      throw invalid("sec-websocket-protocol", `expected ${PROTOCOL}`);
    requireScope(c.var.caller, "sessions:read");
    const known = knownSession(c);
    if (known !== undefined) return upgraded((await connect(c, known)).webSocket!);
    return proxySocket((request) => connect(c, request));
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/v1/ws",
    summary: `WebSocket ${PROTOCOL}: everything that a session's calls say, and calls of one's own`,
    responses: { 101: { description: "The connection" } },
  });
}

/** Its headers may still be added to: those of an answer that came from elsewhere are fixed. */
const upgraded = (webSocket: WebSocket): Response =>
  new Response(null, { status: 101, webSocket, headers: { "sec-websocket-protocol": PROTOCOL } });

/** The session that a connection is opened for, if that is said already. */
function knownSession({ req, var: { caller } }: Context<AppEnv>): string | undefined {
  const request = req.query("session_id") ?? req.header("x-rhone-session-id");
  if (request !== undefined && !sessionId.safeParse(request).success)
    throw invalid("session_id", "expected sess_ and up to 128 of A-Z a-z 0-9 _ . : -");
  if (caller.session !== undefined && request !== undefined && request !== caller.session)
    throw new GatewayError("auth.forbidden", `the client token speaks for ${caller.session} alone`);
  return caller.session ?? request;
}

/** The connection, held by the session's object: of a new session's, where none is named. Throws `session.not_found`. */
async function connect(c: Context<AppEnv>, known: string | undefined): Promise<Response> {
  const { SESSIONS } = c.env;
  const { caller } = c.var;
  const isNew = known === undefined;
  const { id, objectId } = isNew
    ? newSessionId(SESSIONS)
    : { id: known, objectId: sessionObjectId(SESSIONS, caller.org, known) };
  const attachment = attachmentFor(c, caller, { sessionId: id, isNew });
  return await fromRpcResponse(await requireStub(SESSIONS, objectId).fetch(toUpgradeRequest(attachment)));
}

export function attachmentFor(
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
