import { GatewayError } from "../../canonical/error.ts";
import type { Message } from "../../canonical/types.ts";
import { loadCatalogue } from "../../providers/catalogue.ts";
import { failOver } from "../../routing/failover.ts";
import type { Context } from "../../session/session.ts";
import { sleep } from "../../wire/time.ts";
import type { Accepted, CallPlan, Operation } from "../call/operation.ts";

/** Sends a call along a plan; see `sendWithFailover`. */
export type Send = (plan: CallPlan, appended?: readonly Message[]) => Promise<Accepted>;

/**
 * Sends a call along a plan until one target's answer is accepted: with retries, breakers and hedges, within the call's
 * total deadline. Throws the error of the first target, `provider.timeout`, or the reason of `signal`.
 */
export async function sendWithFailover(
  { operation, context, signal }: { operation: Operation<Accepted>; context: Context; signal: AbortSignal },
  plan: CallPlan,
  appended: readonly Message[] = [],
): Promise<Accepted> {
  const { call, host, log } = operation;
  const { now } = host.lifetime;
  const { breakers, random } = host.router;
  const { deadlines } = plan.policy;
  const giveUpAt = call.createdAt + deadlines.total;
  const resumed = { context, limits: { ...deadlines, giveUpAt, now } };
  const total = new AbortController();
  const onTimeout = (): void => {
    const message = `no provider has answered within the call's ${deadlines.total / 1000} s`;
    total.abort(new GatewayError("provider.timeout", message));
  };
  const timer = setTimeout(onTimeout, Math.max(0, giveUpAt - now()));
  let [failed] = plan.targets;
  try {
    return await failOver(plan, (target, options) => operation.attempt(target, options, resumed, appended), {
      breakers,
      now,
      sleep,
      random,
      logAttempt: (attempt) => log.addAttempt(attempt),
      mayFit: async (target, tooSmall) => {
        const { at } = await loadCatalogue(host.providers);
        const [window, exceeded] = [at(target)?.context, at(tooSmall)?.context];
        return window === undefined || exceeded === undefined || window > exceeded;
      },
      canRepeat: () => operation.canRepeat?.() ?? true,
      onFirstError: (target) => (failed = target),
      signal: AbortSignal.any([signal, total.signal]),
    });
  } catch (thrown) {
    // The record and the headers name the target whose error it is.
    log.nameTarget(failed);
    throw thrown;
  } finally {
    clearTimeout(timer);
  }
}
