import type { Context } from "hono";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import type { SessionStub } from "../../platform/session-stubs.ts";
import type { RunCommand } from "../../runs/api/run-api.ts";
import type { AppEnv } from "../request/env.ts";

/** The object's answer, whose body may be a stream. */
export async function answer(
  stub: SessionStub,
  command: RunCommand,
  { var: { caller } }: Context<AppEnv>,
): Promise<Response> {
  const answered = await fromRpcResponse(await stub.run(command, caller));
  return new Response(answered.body, answered);
}
