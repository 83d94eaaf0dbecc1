import type { Context as HttpContext, TypedResponse } from "hono";
import type { Command } from "../../gateway/session/commands.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import type { Instructions } from "../../session/row.ts";
import type { AppEnv } from "../request/env.ts";
import { sessionObjectId, requireStub } from "../../platform/session-stubs.ts";

/** A request of a route that no schema has typed. */
export type Http = HttpContext<AppEnv>;

/** An answer that the session's object has made already, in the shape that its route documents. */
export type SessionResponse = Response & TypedResponse<never, never, never>;

/** Has a session do something, and passes its answer on. Throws what it refuses. */
export async function sendCommand<E extends AppEnv>(
  c: HttpContext<E>,
  id: string,
  command: Command,
): Promise<SessionResponse> {
  const { SESSIONS } = c.env;
  const { caller } = c.var;
  const stub = requireStub(SESSIONS, sessionObjectId(SESSIONS, caller.org, id));
  return withMutableHeaders(await fromRpcResponse(await stub.perform(command, caller)));
}

/** Its headers may still be added to: those of an answer that came from elsewhere are fixed. */
export const withMutableHeaders = (response: Response): SessionResponse =>
  new Response(response.body, response) as SessionResponse;

/** Instructions without a wire of their own are a system message of Chat's. */
export const systemText = (content: string): Instructions => ({
  dialect: "openai-chat",
  items: JSON.stringify({ role: "system", content }),
});
