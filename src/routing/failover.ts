import { GatewayError, toGatewayError } from "../canonical/error.ts";
import type { Attempt, DiscardedUsage } from "../store/records.ts";
import { cutText } from "../wire/surrogates.ts";
import type { Breakers } from "./breaker.ts";
import type { RoutingPolicy } from "./config.ts";
import { healthKeyOf, type Target, targetKeyOf } from "./locate.ts";
import { blamesTarget, retryDelay, verdictOf } from "./retry.ts";

/**
 * Makes one attempt at a target, until its answer is committed: after that, no other target can replace it. `onStatus` is to
 * be called with the status of the response, `onDiscardedUsage` with the usage of an attempt that fails.
 */
export type AttemptFn<T> = (
  target: Target,
  services: {
    signal: AbortSignal;
    onStatus: (status: number) => void;
    onDiscardedUsage: (usage: DiscardedUsage) => void;
    /** No other target is left if this one fails. */
    isLast: boolean;
  },
) => Promise<T>;

/** `endpoint`: of a call of another endpoint than the generations'. */
export type FailoverPlan = {
  targets: readonly [Target, ...Target[]];
  policy: Pick<RoutingPolicy, "retries">;
  hedge?: Hedge;
  endpoint?: string;
};

/** A second target that is tried in parallel if the first one has sent no content for `afterMs`. */
export type Hedge = { afterMs: number; target: Target };

export type FailoverServices = {
  breakers: Breakers;
  now: () => number;
  sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  random: () => number;
  /** Called with each attempt that has ended. */
  logAttempt: (attempt: Attempt) => void;
  /** Whether a request that is too long for `tooSmall` may fit `target`: unless both windows are known, and it is no larger. */
  mayFit: (target: Target, tooSmall: Target) => Promise<boolean>;
  /** Whether the request can be sent again after a failed attempt; false once an uploaded body has been read. */
  canRepeat: () => boolean;
  /** Called with the target of the first error, which is thrown if no target answers. */
  onFirstError: (target: Target) => void;
  /** Aborted with a `GatewayError` when the call is over its deadline or cancelled. */
  signal: AbortSignal;
};

/**
 * Tries the targets in order until one answers. A target that fails is retried while the call has retries left, then the
 * next one is tried; after a timeout the next one is tried at once. Targets with an open breaker are skipped, unless there
 * is no other. If all fail, throws the first error: that of the target that the caller preferred.
 */
export async function failOver<T>(plan: FailoverPlan, attempt: AttemptFn<T>, services: FailoverServices): Promise<T> {
  const { breakers } = services;
  const { targets } = plan;
  const run = new FailoverRun(plan, attempt, services);
  for (const [i, target] of targets.entries()) {
    if (await run.isExcluded(target)) continue;
    const admission = await breakers.admit(run.keyOf(target), false);
    if (admission === "refused") continue;
    const isLast = !(await run.canTryAny(targets.slice(i + 1)));
    const answer = await run.tryTarget(target, { mayRepeat: admission === "free", isLast });
    if (answer !== undefined) return answer.value;
  }
  if (run.firstError !== undefined) throw run.firstError;
  // All breakers are open: one call at a time may probe the best target.
  for (const target of targets) {
    if ((await breakers.admit(run.keyOf(target), true)) === "refused") continue;
    const answer = await run.tryTarget(target, { mayRepeat: false, isLast: true });
    if (answer !== undefined) return answer.value;
    break;
  }
  throw run.firstError ?? toCooldownError(plan, breakers);
}

/** The state of one call: its errors, and the retries that are left. */
class FailoverRun<T> {
  firstError: GatewayError | undefined;
  readonly #plan: FailoverPlan;
  readonly #attempt: AttemptFn<T>;
  readonly #services: FailoverServices;
  #retriesLeft: number;
  /** The targets whose context windows were too small. */
  readonly #tooSmall: Target[] = [];
  /** The hedge's target, once it was tried. */
  #hedged: Target | undefined;

  constructor(plan: FailoverPlan, attempt: AttemptFn<T>, services: FailoverServices) {
    this.#plan = plan;
    this.#attempt = attempt;
    this.#services = services;
    this.#retriesLeft = plan.policy.retries.max;
  }

  /** The key of the target's breaker. */
  keyOf(target: Target): string {
    return healthKeyOf(target, this.#plan.endpoint);
  }

  /** Whether trying the target is useless: its context window is too small as well, or it has failed as the hedge. */
  async isExcluded(target: Target): Promise<boolean> {
    if (target === this.#hedged) return true;
    const fits = await Promise.all(this.#tooSmall.map((tooSmall) => this.#services.mayFit(target, tooSmall)));
    return fits.includes(false);
  }

  /** Whether one of the targets may still be tried: its breaker permits it, and it is not excluded. */
  async canTryAny(targets: readonly Target[]): Promise<boolean> {
    for (const target of targets) {
      const mayAdmit = this.#services.breakers.mayAdmit(this.keyOf(target));
      if (mayAdmit && !(await this.isExcluded(target))) return true;
    }
    return false;
  }

  /**
   * Tries a target until it answers, with retries if `mayRepeat`. Undefined: the next target should be tried. Throws if no
   * other target can succeed either. `isLast`: there is no next target.
   */
  async tryTarget(target: Target, options: { mayRepeat: boolean; isLast: boolean }): Promise<{ value: T } | undefined> {
    const { hedge, targets } = this.#plan;
    const { sleep, signal, canRepeat } = this.#services;
    for (let count = 1; ; count++) {
      const isHedged = hedge !== undefined && target === targets[0] && count === 1;
      const result = isHedged ? await this.#hedge(target, hedge) : await this.#try(target, signal, options.isLast);
      if ("value" in result) return result;
      const { error } = result;
      this.#noteError(target, error);
      const verdict = verdictOf(error);
      if (verdict === "stop" || !canRepeat()) throw this.firstError;
      if (verdict === "larger") this.#tooSmall.push(target);
      if (verdict !== "again" || !options.mayRepeat || this.#retriesLeft === 0) return undefined;
      const wait = this.#delayBeforeRetry(target, error, { count, isLast: options.isLast });
      if (wait === undefined) return undefined;
      this.#retriesLeft--;
      await sleep(wait, signal);
    }
  }

  #noteError(target: Target, error: GatewayError): void {
    if (this.firstError !== undefined) return;
    this.firstError = error;
    this.#services.onFirstError(target);
  }

  /** Milliseconds until retry number `count`; undefined if the target should not be tried again. */
  #delayBeforeRetry(
    target: Target,
    error: GatewayError,
    { count, isLast }: { count: number; isLast: boolean },
  ): number | undefined {
    const { random, breakers } = this.#services;
    const { retries } = this.#plan.policy;
    if (breakers.state(this.keyOf(target)) !== "closed") return undefined;
    // With another target to try, a provider's `retry-after` is accepted only up to the longest backoff.
    const maxWaitMs = isLast ? retries.retryAfterMaxMs : Math.min(retries.maxMs, retries.retryAfterMaxMs);
    return retryDelay(count, error, retries, { random, maxWaitMs });
  }

  /** One attempt: logs it and updates the target's breaker. Throws if the signal was aborted. */
  async #try(target: Target, signal: AbortSignal, isLast: boolean): Promise<{ value: T } | { error: GatewayError }> {
    const { breakers, now, logAttempt } = this.#services;
    const startedAt = now();
    let status: number | undefined;
    let discarded: DiscardedUsage = {};
    const describeAttempt = (): Attempt => ({
      provider: target.provider.id,
      model: target.model,
      startedAt,
      ms: now() - startedAt,
      ...(status !== undefined && { status }),
    });
    const key = this.keyOf(target);
    try {
      const value = await this.#attempt(target, {
        signal,
        onStatus: (received) => (status = received),
        onDiscardedUsage: (usage) => (discarded = usage),
        isLast,
      });
      breakers.recordSuccess(key, now() - startedAt);
      logAttempt(describeAttempt());
      return { value };
    } catch (thrown) {
      const error = signal.aborted ? toGatewayError(signal.reason) : toGatewayError(thrown);
      logAttempt({ ...describeAttempt(), error: error.code, reason: cutText(error.message, 500), ...discarded });
      if (signal.aborted) {
        breakers.release(key);
        throw error;
      }
      if (blamesTarget(error)) await breakers.recordFailure(key, error);
      else breakers.recordSuccess(key);
      return { error };
    }
  }

  /** Tries the hedge as well if the first target sends no content for `afterMs`. The first content wins, the other is cancelled. */
  async #hedge(target: Target, { afterMs, target: second }: Hedge): Promise<{ value: T } | { error: GatewayError }> {
    const { signal, sleep, breakers } = this.#services;
    const [firstAbort, secondAbort, timer] = [createChild(signal), createChild(signal), createChild(signal)];
    const first = this.#try(target, firstAbort.signal, false);
    const isSilent = await Promise.race([first.then(() => false), sleep(afterMs, timer.signal).then(() => true)]).catch(
      () => false,
    );
    timer.abort();
    if (!isSilent || (await breakers.admit(this.keyOf(second), false)) === "refused") return await first;
    this.#hedged = second;
    const racers = [first, this.#try(second, secondAbort.signal, true)];
    try {
      const { value, loser } = await Promise.any([
        racers[0]!.then(requireValue).then((won) => ({ value: won, loser: secondAbort })),
        racers[1]!.then(requireValue).then((won) => ({ value: won, loser: firstAbort })),
      ]);
      loser.abort(new GatewayError("provider.unavailable", "another target was faster"));
      // The cancelled attempt ends at once. Its cost is part of the call's record, so it is awaited.
      await Promise.allSettled(racers);
      return { value };
    } catch {
      return await first;
    }
  }
}

/** Throws the error of a failed attempt, so that `Promise.any` ignores it; the attempt is logged already. */
function requireValue<T>(result: { value: T } | { error: GatewayError }): T {
  if ("value" in result) return result.value;
  throw result.error;
}

/** A controller that is aborted with its parent, or alone. */
function createChild(parent: AbortSignal): AbortController {
  const child = new AbortController();
  if (parent.aborted) child.abort(parent.reason);
  parent.addEventListener("abort", () => child.abort(parent.reason), { once: true, signal: child.signal });
  return child;
}

/** The error if no target may be tried. `retry-after` is the shortest remaining cool-down. */
function toCooldownError({ targets, endpoint }: FailoverPlan, breakers: Breakers): GatewayError {
  const reasons = targets.map((target) => {
    const { why: last } = breakers.health(healthKeyOf(target, endpoint));
    return `${targetKeyOf(target)} (${last?.message ?? "it failed recently, or another call is testing it"})`;
  });
  const wait = Math.min(...targets.map((target) => breakers.waitOf(healthKeyOf(target, endpoint))));
  return new GatewayError(
    "provider.unavailable",
    `all targets are temporarily disabled after failures: ${reasons.join("; ")}`,
    {
      status: 503,
      retryAfterSeconds: Math.max(1, Math.ceil(wait / 1000)),
    },
  );
}
