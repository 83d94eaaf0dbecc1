import type { GatewayError } from "../canonical/error.ts";
import type { Retries } from "./config.ts";

/**
 * What follows from a failed attempt: `stop` (no other target can succeed, the caller gets the error), `next` (another
 * target may succeed), `larger` (only a target with a larger context window), `again` (retry the same target later).
 */
type Verdict = "stop" | "next" | "larger" | "again";

/** Statuses about the gateway's account at the provider, or about a model that it does not have. */
const TARGET_STATUSES = new Set([401, 402, 403, 404]);

/** Classifies an error of an attempt. */
export function verdictOf(error: GatewayError): Verdict {
  const { code, upstream } = error;
  if (code === "context.too_long") return "larger";
  if (upstream === undefined) {
    // A timeout is likely to repeat, and the caller has already waited for it once.
    if (code === "provider.timeout") return "next";
    return code.startsWith("provider.") || code === "stream.interrupted" ? "again" : "stop";
  }
  if (TARGET_STATUSES.has(upstream.status) || code === "model.not_found") return "next";
  // A used-up quota does not recover during the call.
  if (upstream.code === "insufficient_quota" || upstream.type === "insufficient_quota") return "next";
  const isRefusal = upstream.status >= 400 && upstream.status < 500 && upstream.status !== 429;
  if (!isRefusal) return "again";
  return code === "request.invalid" || code === "request.too_large" ? "stop" : "next";
}

/** Whether the failure counts against the target's breaker, as it is the fault of neither the request nor the model. */
export function blamesTarget(error: GatewayError): boolean {
  const verdict = verdictOf(error);
  return error.isModelFault !== true && (verdict === "next" || verdict === "again");
}

/**
 * Milliseconds before retry number `count`, starting at 1: an exponential backoff, half of it random, or the provider's
 * `retry-after` plus a random part, so that many callers do not retry at the same time. Undefined if the provider
 * requires more than `maxWaitMs`.
 */
export function retryDelay(
  count: number,
  { retryAfterSeconds }: Pick<GatewayError, "retryAfterSeconds">,
  { baseMs, maxMs }: Retries,
  { random, maxWaitMs }: { random: () => number; maxWaitMs: number },
): number | undefined {
  const backoff = Math.min(maxMs, baseMs * 2 ** (count - 1));
  if (retryAfterSeconds === undefined) return (backoff / 2) * (1 + random());
  const requestedMs = retryAfterSeconds * 1000;
  return requestedMs > maxWaitMs ? undefined : requestedMs + baseMs * random();
}
