import type { Context } from "hono";
import { invalid } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import type { AppEnv } from "./env.ts";

/**
 * An admitted POST with an idempotency key. It runs in the key's own object, so that repetitions of it meet there
 * from wherever they come, and none of them needs its client to stay. SPEC 3. Throws `request.invalid` naming the
 * header, `idempotency.mismatch`.
 */
export async function runOnce({ req, env, var: { caller } }: Context<AppEnv>, key: string): Promise<Response> {
  if (!KEY.test(key)) throw invalid("idempotency-key", "expected 1 to 255 printable characters of ASCII");
  const { org, keyId, session = "" } = caller;
  const object = env.IDEMPOTENCY.get(env.IDEMPOTENCY.idFromName(JSON.stringify([org, keyId, session, key])));
  const response = await fromRpcResponse(await object.answer(req.raw, org));
  const requestId = req.header("x-request-id");
  // A repetition has an id of its own.
  if (requestId !== undefined) response.headers.set("x-request-id", requestId);
  return response;
}

const KEY = /^[\x20-\x7e]{1,255}$/;
