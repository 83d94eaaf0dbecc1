import type { Context } from "hono";
import { invalid } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { safetyStateOf } from "../../platform/safety.ts";
import type { AppEnv } from "./env.ts";

/**
 * Runs an authorised POST with an idempotency key, once. It runs in the Durable Object of that key, where all its
 * repetitions arrive; it continues when its client leaves. Throws `request.invalid` for a malformed header and
 * `idempotency.mismatch` if the key was used for another request.
 */
export async function runOnce(c: Context<AppEnv>, key: string): Promise<Response> {
  const { req, env } = c;
  const { caller } = c.var;
  if (!KEY.test(key)) throw invalid("idempotency-key", "expected 1 to 255 printable characters of ASCII");
  const { org, keyId, session = "" } = caller;
  const safety = await safetyStateOf(env, caller, (work) => c.executionCtx.waitUntil(work));
  const object = env.IDEMPOTENCY.get(env.IDEMPOTENCY.idFromName(JSON.stringify([org, keyId, session, key])));
  const response = await fromRpcResponse(await object.answer(req.raw, org, safety));
  const requestId = req.header("x-request-id");
  // Each repetition has a request id of its own.
  if (requestId !== undefined) response.headers.set("x-request-id", requestId);
  return response;
}

const KEY = /^[\x20-\x7e]{1,255}$/;
