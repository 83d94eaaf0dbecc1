import type { GatewayError } from "../canonical/error.ts";
import type { Retries } from "./config.ts";

/**
 * What a failed try means for the next one: `stop` (no target can do better, the caller is told), `next` (this target
 * cannot, another may), `larger` (only one that holds more context), `again` (the same target, after a while).
 */
export type Verdict = "stop" | "next" | "larger" | "again";

/** Statuses that tell of the gateway's own account at the provider, or of a name it does not have. */
const TARGET_STATUSES = new Set([401, 402, 403, 404]);

export function verdictOf(error: GatewayError): Verdict {
  const { code, upstream } = error;
  if (code === "context.too_long") return "larger";
  if (upstream === undefined) {
    // A silent route is no better the second time, and the caller has waited long enough.
    if (code === "provider.timeout") return "next";
    return code.startsWith("provider.") || code === "stream.interrupted" ? "again" : "stop";
  }
  if (TARGET_STATUSES.has(upstream.status) || code === "model.not_found") return "next";
  // A quota that is used up does not come back within a call.
  if (upstream.code === "insufficient_quota" || upstream.type === "insufficient_quota") return "next";
  const isRefusal = upstream.status >= 400 && upstream.status < 500 && upstream.status !== 429;
  if (!isRefusal) return "again";
  return code === "request.invalid" || code === "request.too_large" ? "stop" : "next";
}

/** Whether a failure speaks against the target, and not against the request. */
export const blamesTarget = (verdict: Verdict): boolean => verdict === "next" || verdict === "again";

/**
 * Milliseconds before retry `count`, the first being 1: a backoff that doubles, half of it by chance, or what the
 * provider asks for and some chance on top, so that many callers do not come back at once. Undefined when the provider
 * asks for more than `mostMs`.
 */
export function retryDelay(
  count: number,
  { retryAfterSeconds }: Pick<GatewayError, "retryAfterSeconds">,
  { baseMs, maxMs }: Retries,
  { random, mostMs }: { random: () => number; mostMs: number },
): number | undefined {
  const backoff = Math.min(maxMs, baseMs * 2 ** (count - 1));
  if (retryAfterSeconds === undefined) return (backoff / 2) * (1 + random());
  const asked = retryAfterSeconds * 1000;
  return asked > mostMs ? undefined : asked + baseMs * random();
}
