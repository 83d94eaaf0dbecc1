import type { ErrorCode } from "../canonical/error.ts";
import type { Cooldown } from "./config.ts";

/**
 * What is known of a target. Times are Unix milliseconds. `open` until `until`; after that, and while nothing else is
 * left, one call at a time may try it: `isProbed`.
 */
export type Health = {
  failures: number;
  until?: number;
  isProbed?: true;
  /** Another isolate found that it is down. */
  isPublished?: true;
  why?: { code: ErrorCode; message: string; at: number };
  /** Milliseconds to the first content, the newest counting a fifth. */
  latency?: number;
};

export type State = "closed" | "open" | "half_open";

/** How a target may be used now: like any other, for one single try, or not at all. */
export type Admission = "free" | "probe" | "refused";

/**
 * Where isolates tell each other which targets are down. It is asked only about a target that has just failed or is about
 * to be probed, never about one in use; what it does not know, an isolate finds out by itself. Never rejects.
 */
export type BreakerStore = {
  /** Until when the target is said to be down, in Unix milliseconds. */
  downUntil: (key: string) => Promise<number | undefined>;
  markDown: (key: string, until: number) => Promise<void>;
  markUp: (key: string) => Promise<void>;
};

/** For an isolate that is alone. */
export const LOCAL_ONLY: BreakerStore = {
  downUntil: async () => undefined,
  markDown: async () => {},
  markUp: async () => {},
};

/**
 * Which targets are out of use. N failures in a row open a target's breaker for the cool-down; then a single probe
 * decides whether it returns or cools down again. Lives in an isolate and is shared by all of its calls; `shared` lets
 * other isolates know of a breaker that opens, of a probe that begins, and of one that has succeeded.
 */
export class Breakers {
  readonly #cooldown: Cooldown;
  readonly #now: () => number;
  readonly #shared: BreakerStore;
  readonly #targets = new Map<string, Health>();

  constructor(cooldown: Cooldown, now: () => number, shared: BreakerStore = LOCAL_ONLY) {
    this.#cooldown = cooldown;
    this.#now = now;
    this.#shared = shared;
  }

  state(key: string): State {
    const { until } = this.health(key);
    if (until === undefined) return "closed";
    return this.#now() < until ? "open" : "half_open";
  }

  health(key: string): Health {
    return this.#targets.get(key) ?? { failures: 0 };
  }

  get keys(): string[] {
    return [...this.#targets.keys()];
  }

  /**
   * Asks to try a target; whoever gets `probe` must tell how it went. `isLast`: there is no other, so it may be probed
   * before its time, still by one call at a time, and ten times a second.
   */
  async admit(key: string, isLast: boolean): Promise<Admission> {
    const health = this.health(key);
    const state = this.state(key);
    if (state === "closed") return "free";
    if (health.isProbed || (state === "open" && !isLast)) return "refused";
    const failedAt = health.why?.at ?? Number.NEGATIVE_INFINITY;
    if (isLast && this.#now() - failedAt < LAST_RESORT_MS) return "refused";
    this.#set(key, { ...health, isProbed: true });
    if (isLast) return "probe";
    if (await this.#adoptSharedState(key)) return "refused";
    // Whoever else comes to this point waits for what this probe finds, or for as long as if it had failed.
    void this.#shared.markDown(key, this.#now() + this.#cooldown.seconds * 1000);
    return "probe";
  }

  /** It answers, be it with a refusal of the request. `latency`: of a success. */
  recordSuccess(key: string, latency?: number): void {
    const { latency: before, until } = this.health(key);
    if (until !== undefined) void this.#shared.markUp(key);
    const mean = latency === undefined ? before : before === undefined ? latency : before * 0.8 + latency * 0.2;
    this.#set(key, { failures: 0, ...(mean !== undefined && { latency: mean }) });
  }

  /** It does not answer as it should. Resolves when it is known whether others have found it down. */
  async recordFailure(key: string, why: { code: ErrorCode; message: string }): Promise<void> {
    const { isProbed, until, failures: before, latency } = this.health(key);
    const failures = before + 1;
    const at = this.#now();
    const opens = isProbed || failures >= this.#cooldown.failures;
    const again = opens ? at + this.#cooldown.seconds * 1000 : until;
    this.#set(key, {
      failures,
      why: { code: why.code, message: why.message, at },
      ...(again !== undefined && { until: again }),
      ...(latency !== undefined && { latency }),
    });
    if (opens) void this.#shared.markDown(key, again!);
    else await this.#adoptSharedState(key);
  }

  /** Others have found it down: then it is down here, too, for as long. */
  async #adoptSharedState(key: string): Promise<boolean> {
    const until = await this.#shared.downUntil(key);
    if (until === undefined || until <= this.#now()) return false;
    const { isProbed: _, ...health } = this.health(key);
    this.#set(key, { ...health, until, isPublished: true });
    return true;
  }

  /** The try said nothing of the target: its caller left, or another was faster. */
  release(key: string): void {
    const { isProbed: _, ...health } = this.health(key);
    this.#set(key, health);
  }

  /** Milliseconds until the target may be tried again. */
  waitOf(key: string): number {
    return Math.max(0, (this.health(key).until ?? 0) - this.#now());
  }

  /** The newest last: of more names than any deployment has, the oldest are forgotten. */
  #set(key: string, health: Health): void {
    this.#targets.delete(key);
    this.#targets.set(key, health);
    if (this.#targets.size > MAX_TARGETS) this.#targets.delete(this.#targets.keys().next().value!);
  }
}

/**
 * A target without a stand-in is asked before its time, so that it is back as soon as it answers, but no more often than
 * this: one that refuses at once would be asked as fast as its callers come. Milliseconds.
 */
const LAST_RESORT_MS = 100;

/** Callers choose model names, so there is no end of targets. */
const MAX_TARGETS = 1000;
