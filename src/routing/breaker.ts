import type { ErrorCode } from "../canonical/error.ts";
import type { Cooldown } from "./config.ts";

/**
 * The state of a target. Times are Unix milliseconds. The breaker is open until `until`. After that, or if there is no
 * other target, one call at a time may try it: `isProbed` while it does.
 */
type Health = {
  failures: number;
  until?: number;
  isProbed?: true;
  /** The state was read from the shared store: another isolate opened its breaker. */
  isPublished?: true;
  /** The last failure. */
  why?: { code: ErrorCode; message: string; at: number };
  /** Moving average of the milliseconds to the first content; the newest value has a weight of one fifth. */
  latency?: number;
};

type State = "closed" | "open" | "half_open";

/** Whether a call may use a target: without restriction, for a single attempt, or not at all. */
type Admission = "free" | "probe" | "refused";

/**
 * Shares open breakers between isolates. It is read only for a target that has just failed or is about to be probed, never
 * on the path of a successful call. It may lose entries: an isolate then finds out by itself. Its methods never reject.
 */
export type BreakerStore = {
  /** Until when the target is marked as down, in Unix milliseconds; undefined: it is not marked. */
  downUntil: (key: string) => Promise<number | undefined>;
  markDown: (key: string, until: number) => Promise<void>;
  markUp: (key: string) => Promise<void>;
};

/** A store that shares nothing, for a single isolate. */
export const LOCAL_ONLY: BreakerStore = {
  downUntil: async () => undefined,
  markDown: async () => {},
  markUp: async () => {},
};

/**
 * Circuit breakers, one per target, shared by all calls of an isolate. `cooldown.failures` failures in a row open a breaker
 * for `cooldown.seconds`; then a single probe decides whether it closes or stays open for as long again. `shared` is
 * notified when a breaker opens, when a probe starts, and when it succeeds.
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

  /** `half_open`: the cool-down is over and a probe is due. */
  state(key: string): State {
    const { until } = this.health(key);
    if (until === undefined) return "closed";
    return this.#now() < until ? "open" : "half_open";
  }

  /** The state of a target; of one that was never used, no failures. */
  health(key: string): Health {
    return this.#targets.get(key) ?? { failures: 0 };
  }

  /** The targets with a state, least recently changed first. */
  get keys(): string[] {
    return [...this.#targets.keys()];
  }

  /** Whether `admit` may permit a call that has other targets. */
  mayAdmit(key: string): boolean {
    return this.state(key) !== "open" && this.health(key).isProbed === undefined;
  }

  /**
   * Requests permission to try a target. After `probe` the caller must call `recordSuccess`, `recordFailure` or `release`.
   * `isLast`: there is no other target, so it may be probed before the cool-down is over, by one call at a time and at most
   * every `LAST_RESORT_MS`.
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
    // Other isolates do not probe until this probe has succeeded, or until a failure would have been over.
    void this.#shared.markDown(key, this.#now() + this.#cooldown.seconds * 1000);
    return "probe";
  }

  /** The target responded, possibly with a refusal of the request. `latency`: milliseconds to the first content, of a success. */
  recordSuccess(key: string, latency?: number): void {
    const { latency: before, until } = this.health(key);
    if (until !== undefined) void this.#shared.markUp(key);
    const mean = latency === undefined ? before : before === undefined ? latency : before * 0.8 + latency * 0.2;
    this.#set(key, { failures: 0, ...(mean !== undefined && { latency: mean }) });
  }

  /** The target failed. Resolves once the shared state is known. */
  async recordFailure(key: string, why: { code: ErrorCode; message: string }): Promise<void> {
    const { isProbed, until, failures: before, latency } = this.health(key);
    const failures = before + 1;
    const at = this.#now();
    const opens = isProbed || failures >= this.#cooldown.failures;
    const openUntil = opens ? at + this.#cooldown.seconds * 1000 : until;
    this.#set(key, {
      failures,
      why: { code: why.code, message: why.message, at },
      ...(openUntil !== undefined && { until: openUntil }),
      ...(latency !== undefined && { latency }),
    });
    if (opens) void this.#shared.markDown(key, openUntil!);
    else await this.#adoptSharedState(key);
  }

  /** Opens the breaker if another isolate's is open, until the same time. Resolves to whether it is. */
  async #adoptSharedState(key: string): Promise<boolean> {
    const until = await this.#shared.downUntil(key);
    if (until === undefined || until <= this.#now()) return false;
    const { isProbed: _, ...health } = this.health(key);
    this.#set(key, { ...health, until, isPublished: true });
    return true;
  }

  /** The attempt ended without a result: the client disconnected, or another target was faster. */
  release(key: string): void {
    const { isProbed: _, ...health } = this.health(key);
    this.#set(key, health);
  }

  /** Milliseconds until the cool-down is over; 0 if the breaker is closed. */
  waitOf(key: string): number {
    return Math.max(0, (this.health(key).until ?? 0) - this.#now());
  }

  /** Moves the target to the end of the map, and evicts the least recently changed one if there are too many. */
  #set(key: string, health: Health): void {
    this.#targets.delete(key);
    this.#targets.set(key, health);
    if (this.#targets.size > MAX_TARGETS) this.#targets.delete(this.#targets.keys().next().value!);
  }
}

/**
 * Shortest time between two probes of a target without alternatives, counted from its last failure. It is probed before the
 * cool-down is over so that it is used again as soon as it recovers; without a limit, one that refuses quickly would be
 * probed by every call. Milliseconds.
 */
const LAST_RESORT_MS = 100;

/** Most targets with a state. Callers choose model names, so their number is not bounded otherwise. */
const MAX_TARGETS = 1000;
