import type { Context as HttpContext, TypedResponse } from "hono";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import type { Command } from "../../gateway/session/commands.ts";
import { shieldFor } from "../../platform/safety.ts";
import { sessionObjectId, requireStub } from "../../platform/session-stubs.ts";
import type { Instructions } from "../../session/row.ts";
import { type JsonObject, parseJson } from "../../wire/json.ts";
import type { AppEnv } from "../request/env.ts";

/** The context of a route whose request is not typed by a schema. */
export type Http = HttpContext<AppEnv>;

/** A response made by the session's object, in the shape that its route documents. */
export type SessionResponse = Response & TypedResponse<never, never, never>;

/** Runs a command in a session's object and returns its response. Throws the error that the object returned. */
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

/** What is stored without a call, behind the caller's shield: later calls send it. Throws `safety.policy_denied`. */
export async function screenContent<E extends AppEnv, T extends JsonObject>(c: HttpContext<E>, content: T): Promise<T> {
  const { env, executionCtx: ctx } = c;
  const shield = await shieldFor(env, { caller: c.var.caller, requested: undefined }, (work) => ctx.waitUntil(work));
  if (shield === undefined) return content;
  const json = JSON.stringify(content);
  const screened = shield.screenRequest(json);
  shield.requireAllowed();
  return screened === json ? content : (parseJson(screened) as T);
}

/** A copy whose headers can be changed: those of a response from an object are immutable. */
export const withMutableHeaders = (response: Response): SessionResponse =>
  new Response(response.body, response) as SessionResponse;

/** Instructions set through the gateway's own API are stored as a system message of Chat Completions. */
export const systemText = (content: string): Instructions => ({
  dialect: "openai-chat",
  items: JSON.stringify({ role: "system", content }),
});
