import type { Context } from "hono";
import { GatewayError } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { type SessionStub, stubForId } from "../../platform/session-stubs.ts";
import type { RunCommand } from "../../runs/api/run-api.ts";
import type { AppEnv } from "../request/env.ts";
import { findPlainCall, performOnPlainCall } from "./plain-calls.ts";

/** The object's answer, whose body may be a stream. */
export async function answer(
  stub: SessionStub,
  command: RunCommand,
  { var: { caller } }: Context<AppEnv>,
): Promise<Response> {
  const answered = await fromRpcResponse(await stub.run(command, caller));
  return new Response(answered.body, answered);
}

/**
 * The answer for the run with this id: of the object of its session, or else about the plain call that is the run. Throws
 * `object.not_found` for an id that leads nowhere.
 */
export async function answerForRun(c: Context<AppEnv>, id: string, command: RunCommand): Promise<Response> {
  const stub = stubForId(c.env.SESSIONS, "run", id);
  try {
    if (stub === undefined) throw new GatewayError("object.not_found", "there is no such run");
    return await answer(stub, command, c);
  } catch (thrown) {
    const isUnknown = thrown instanceof GatewayError && thrown.code === "object.not_found";
    const call = isUnknown ? await findPlainCall(c, id) : undefined;
    if (call === undefined) throw thrown;
    return await performOnPlainCall(c, call, command);
  }
}
