import type { Estimate } from "../keys/budget/grant-pool.ts";
import { LimitError } from "../keys/budget/limit-error.ts";
import type { Context } from "../session/session.ts";
import type { Accepted, CallPlan, Operation } from "./call/operation.ts";

/**
 * Reserves the most that the call can cost at any of its targets, and logs the reservation and the state of the rate
 * limits. Throws `budget.exceeded` or `rate.limited`; the limits of a refusal are logged as well.
 */
export async function reserveCost({
  operation,
  context,
  plan: { targets, hedge },
}: {
  operation: Operation<Accepted>;
  context: Context;
  plan: CallPlan;
}): Promise<void> {
  const { call, host, log, request } = operation;
  // Counted only for a key with limits: of a long transcript it takes a pass over all of it.
  let bytes = 0;
  try {
    const reservation = await host.budgets.reserve(call.id, call.caller, request.rhone.tags ?? [], async () => {
      bytes = operation.countBytes(context);
      const all = hedge === undefined ? targets : [...targets, hedge.target];
      const estimates = await Promise.all(all.map((target) => operation.estimate(target, bytes)));
      return estimates.reduce(mergeEstimates);
    });
    log.addReservation(reservation, bytes);
  } catch (thrown) {
    if (thrown instanceof LimitError) log.addRates(thrown.rates);
    throw thrown;
  }
}

/** An estimate that covers both. */
const mergeEstimates = (a: Estimate, b: Estimate): Estimate => ({
  micros: Math.max(a.micros, b.micros),
  tokens: Math.max(a.tokens, b.tokens),
  ...((a.least !== undefined || b.least !== undefined) && { least: Math.max(a.least ?? 0, b.least ?? 0) }),
  ...((a.isUnpriced || b.isUnpriced) && { isUnpriced: true }),
});
