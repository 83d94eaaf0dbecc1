import { GatewayError, toGatewayError } from "../canonical/error.ts";
import type { Attempt, DiscardedUsage } from "../store/records.ts";
import type { Breakers } from "./breaker.ts";
import type { RoutingPolicy } from "./config.ts";
import { healthKeyOf, targetKeyOf, type Target } from "./locate.ts";
import { blamesTarget, verdictOf, retryDelay } from "./retry.ts";

/**
 * One try at one target, up to where its answer can no longer be another's. `onStatus`: its headers have come.
 * `onWaste`: it fails, and had counted something.
 */
export type AttemptFn<T> = (
  target: Target,
  tools: { signal: AbortSignal; onStatus: (status: number) => void; onDiscardedUsage: (waste: DiscardedUsage) => void },
) => Promise<T>;

export type FailoverPlan = {
  targets: readonly [Target, ...Target[]];
  policy: Pick<RoutingPolicy, "retries">;
  hedge?: Hedge;
};

/** `target` starts as well when the first one has been silent for `afterMs`. */
export type Hedge = { afterMs: number; target: Target };

export type FailoverServices = {
  breakers: Breakers;
  now: () => number;
  /** Resolves after so many milliseconds, or rejects with the signal's reason. */
  sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  random: () => number;
  /** Every try that has ended, and how. */
  logAttempt: (attempt: Attempt) => void;
  /** Whether a target holds more context than another, as far as both are known. */
  isLarger: (target: Target, than: Target) => Promise<boolean>;
  /** Aborted, with a `GatewayError`, when nobody waits any longer. */
  signal: AbortSignal;
};

/**
 * Tries the targets in their order until one answers. A target that fails is tried again while the call has retries
 * left, then left for the next one; a silent one is left at once. Targets that cool down are passed over, unless there
 * is no other. Throws the first error when nothing helps: the caller asked for that target, and not for its stand-ins.
 */
export async function failOver<T>(plan: FailoverPlan, attempt: AttemptFn<T>, tools: FailoverServices): Promise<T> {
  const { breakers } = tools;
  const { targets } = plan;
  const run = new FailoverRun(plan, attempt, tools);
  for (const [i, target] of targets.entries()) {
    if (await run.isExcluded(target)) continue;
    const admission = await breakers.admit(healthKeyOf(target), false);
    if (admission === "refused") continue;
    const answer = await run.tryTarget(target, { mayRepeat: admission === "free", isLast: i === targets.length - 1 });
    if (answer !== undefined) return answer.value;
  }
  if (run.firstError !== undefined) throw run.firstError;
  // All of them cool down: one call at a time may ask whether the best of them is back.
  for (const target of targets) {
    if ((await breakers.admit(healthKeyOf(target), true)) === "refused") continue;
    const answer = await run.tryTarget(target, { mayRepeat: false, isLast: true });
    if (answer !== undefined) return answer.value;
    break;
  }
  throw run.firstError ?? toCooldownError(targets, breakers);
}

/** What one call has been through. */
class FailoverRun<T> {
  firstError: GatewayError | undefined;
  readonly #plan: FailoverPlan;
  readonly #attempt: AttemptFn<T>;
  readonly #services: FailoverServices;
  #retriesLeft: number;
  /** The context did not fit there. */
  #tooSmall: Target | undefined;
  /** A hedge has had its try. */
  #hedged: Target | undefined;

  constructor(plan: FailoverPlan, attempt: AttemptFn<T>, tools: FailoverServices) {
    this.#plan = plan;
    this.#attempt = attempt;
    this.#services = tools;
    this.#retriesLeft = plan.policy.retries.max;
  }

  /** No use to try it: its context is no larger than the one that was too small, or it has failed as the hedge. */
  async isExcluded(target: Target): Promise<boolean> {
    if (target === this.#hedged) return true;
    return this.#tooSmall !== undefined && !(await this.#services.isLarger(target, this.#tooSmall));
  }

  /** Tries a target until it answers or should be left: undefined. Throws when no target can do better. */
  async tryTarget(target: Target, how: { mayRepeat: boolean; isLast: boolean }): Promise<{ value: T } | undefined> {
    const { random, sleep, signal, breakers } = this.#services;
    const { retries } = this.#plan.policy;
    for (let count = 1; ; count++) {
      const isHedged = this.#plan.hedge !== undefined && target === this.#plan.targets[0] && count === 1;
      const tried = isHedged ? await this.#hedge(target, this.#plan.hedge!) : await this.#try(target, signal);
      if ("value" in tried) return tried;
      const { error } = tried;
      this.firstError ??= error;
      const verdict = verdictOf(error);
      if (verdict === "stop") throw this.firstError;
      if (verdict === "larger") this.#tooSmall = target;
      if (verdict !== "again" || !how.mayRepeat || this.#retriesLeft === 0) return undefined;
      // Whoever has somewhere else to go waits no longer than it would of its own accord.
      const mostMs = how.isLast ? retries.retryAfterMaxMs : Math.min(retries.maxMs, retries.retryAfterMaxMs);
      const wait = retryDelay(count, error, retries, { random, mostMs });
      if (wait === undefined || breakers.state(healthKeyOf(target)) !== "closed") return undefined;
      this.#retriesLeft--;
      await sleep(wait, signal);
    }
  }

  async #try(target: Target, signal: AbortSignal): Promise<{ value: T } | { error: GatewayError }> {
    const { breakers, now, logAttempt: note } = this.#services;
    const startedAt = now();
    let status: number | undefined;
    let wasted: DiscardedUsage = {};
    const made = (): Attempt => ({
      provider: target.provider.id,
      model: target.model,
      startedAt,
      ms: now() - startedAt,
      ...(status !== undefined && { status }),
    });
    const key = healthKeyOf(target);
    try {
      const value = await this.#attempt(target, {
        signal,
        onStatus: (heard) => (status = heard),
        onDiscardedUsage: (waste) => (wasted = waste),
      });
      breakers.recordSuccess(key, now() - startedAt);
      note(made());
      return { value };
    } catch (thrown) {
      const error = signal.aborted ? toGatewayError(signal.reason) : toGatewayError(thrown);
      note({ ...made(), error: error.code, reason: error.message.slice(0, 500), ...wasted });
      if (signal.aborted) {
        breakers.release(key);
        throw error;
      }
      if (blamesTarget(verdictOf(error))) await breakers.recordFailure(key, error);
      else breakers.recordSuccess(key);
      return { error };
    }
  }

  /** Both at once when the first is silent for too long: the first content wins, the other is cancelled. */
  async #hedge(target: Target, { afterMs, target: second }: Hedge): Promise<{ value: T } | { error: GatewayError }> {
    const { signal, sleep, breakers } = this.#services;
    const [own, other, timer] = [createChild(signal), createChild(signal), createChild(signal)];
    const first = this.#try(target, own.signal);
    const isSilent = await Promise.race([first.then(() => false), sleep(afterMs, timer.signal).then(() => true)]).catch(
      () => false,
    );
    timer.abort();
    if (!isSilent || (await breakers.admit(healthKeyOf(second), false)) === "refused") return await first;
    this.#hedged = second;
    const racers = [first, this.#try(second, other.signal)];
    try {
      const { value, loser } = await Promise.any([
        racers[0]!.then(requireValue).then((won) => ({ value: won, loser: other })),
        racers[1]!.then(requireValue).then((won) => ({ value: won, loser: own })),
      ]);
      loser.abort(new GatewayError("provider.unavailable", "another target was faster"));
      // What it has cost is on record with the call: a request that is given up ends at once.
      await Promise.allSettled(racers);
      return { value };
    } catch {
      return await first;
    }
  }
}

/** A failed try loses the race; what it failed of is known already. */
function requireValue<T>(tried: { value: T } | { error: GatewayError }): T {
  if ("value" in tried) return tried.value;
  throw tried.error;
}

/** Aborted with its parent, or alone. */
function createChild(parent: AbortSignal): AbortController {
  const child = new AbortController();
  if (parent.aborted) child.abort(parent.reason);
  parent.addEventListener("abort", () => child.abort(parent.reason), { once: true, signal: child.signal });
  return child;
}

function toCooldownError(targets: FailoverPlan["targets"], breakers: Breakers): GatewayError {
  const why = targets.map((target) => {
    const { why: last } = breakers.health(healthKeyOf(target));
    return `${targetKeyOf(target)} (${last?.message ?? "it failed of late, or a call is trying it"})`;
  });
  const wait = Math.min(...targets.map((target) => breakers.waitOf(healthKeyOf(target))));
  return new GatewayError("provider.unavailable", `every target cools down after failures: ${why.join("; ")}`, {
    status: 503,
    retryAfterSeconds: Math.max(1, Math.ceil(wait / 1000)),
  });
}
