import { GatewayError } from "./error.ts";
import type { Alternative } from "./types.ts";

/**
 * The error of an answer whose finish reason is the provider's word for a failure; undefined for any other answer. The
 * word is the upstream's code. The status is that of the upstream's response, which was a success.
 */
export function findFailure(answer: {
  finish: Alternative["finish"];
  alternatives?: readonly Alternative[];
}): GatewayError | undefined {
  const all = [answer.finish, ...(answer.alternatives ?? []).map(({ finish }) => finish)];
  const failed = all.find(({ reason }) => reason === "error");
  if (failed === undefined) return undefined;
  const { native = "error", message, isModelFault } = failed;
  const detail = message === undefined || message === "" ? "" : ` (${message})`;
  return new GatewayError("provider.execution_failed", `the provider ended its answer with ${native}${detail}`, {
    upstream: { status: 200, code: native },
    ...(isModelFault && { isModelFault }),
  });
}
