import type { Amount, Grant, GrantRequest, GrantResult, GrantReturn, Rates, Settlement } from "./grant.ts";
import { toLimitError } from "./limit-error.ts";
import type { UsageReport } from "./wait-queue.ts";

/** How long settlements are collected before they are reported to the account's object. Milliseconds. */
const FLUSH_MS = 1_000;
/** How often one request checks whether a grant is idle: enough for the five seconds that a grant lasts. */
const MAX_ROUNDS = 6;

/** Calls an account's object. `take` applies the report before it grants. */
export type AccountClient = {
  take: (account: string, request: GrantRequest, report: UsageReport) => Promise<AccountReply>;
  report: (account: string, report: UsageReport) => Promise<void>;
};

/**
 * `free`: the account has no limits; not to be called again before this time, in Unix milliseconds. `tags`: the tags that
 * have accounts of their own, in an organisation's reply.
 */
export type AccountReply = (GrantResult | { free: number }) & { tags?: readonly string[] };

/** A call's reservation in one of the accounts it is charged to. Stored in the call's record, by which it is settled too. */
export type Hold = Amount & { account: string; grant: string };

/** An upper bound of what a call costs. */
export type Estimate = Omit<GrantRequest, "calls">;

/** What belongs to one request. `waitUntil` keeps work alive after its end. */
export type PoolServices = { client: AccountClient; waitUntil: (work: Promise<unknown>) => void };

export type Clock = { now: () => number; sleep: (ms: number) => Promise<void> };

const NOTHING = { micros: 0, tokens: 0, calls: 0 };

/** An isolate's current grant of one account, and what is to be reported to the account's object. */
export class AccountGrants {
  readonly #account: string;
  readonly #clock: Clock;
  /** The unused rest of the current grant. */
  #grant: Grant | undefined;
  /** Calls that the grant was for, without those returned. */
  #size = 0;
  #usedAt = 0;
  #freeUntil = 0;
  #tags: readonly string[] = [];
  #settled: Settlement[] = [];
  #unused: GrantReturn[] = [];
  /** When the next tick is due. Unix milliseconds. */
  #tickAt = 0;
  /** Until when a refill counts as running: the request that runs it may be killed. Unix milliseconds. */
  #refillUntil = 0;

  constructor(account: string, clock: Clock) {
    this.#account = account;
    this.#clock = clock;
  }

  /** Whether the account has no limits, so that nothing is reserved. */
  get isFree(): boolean {
    return this.#freeUntil > this.#clock.now();
  }

  /** Whether there is neither a valid grant nor anything to report. */
  get isIdle(): boolean {
    const isGranted = this.#grant !== undefined && this.#grant.expiresAt > this.#clock.now();
    return !isGranted && !this.isFree && this.#settled.length === 0 && this.#unused.length === 0;
  }

  /** Tags that have accounts of their own; known of an organisation. */
  get tags(): readonly string[] {
    return this.#tags;
  }

  /** Rates at the time of the grant, less the requests made since. */
  get rates(): Rates {
    if (this.#grant === undefined) return {};
    const { requests, tokens } = this.#grant.rates;
    const used = this.#size - this.#grant.calls;
    return {
      ...(requests && { requests: { ...requests, remaining: Math.max(0, requests.remaining - used) } }),
      ...(tokens && { tokens }),
    };
  }

  /** Reserves from the current grant; undefined if it does not suffice. */
  reserve(estimate: Estimate, services: PoolServices): Hold | undefined {
    const now = this.#clock.now();
    const grant = this.#grant;
    if (!isUsable(grant, estimate, now)) return undefined;
    const { micros, tokens } = estimate;
    this.#grant = subtract(grant, { micros, tokens, calls: 1 });
    this.#usedAt = now;
    this.#refillSoon(estimate, services);
    return this.#toHold(grant, { micros, tokens });
  }

  /** Reserves from a new grant; undefined for an account without limits. Throws if the account refuses. */
  async reserveNew(estimate: Estimate, services: PoolServices): Promise<Hold | undefined> {
    const answer = await this.#fetchGrant(estimate, services);
    if ("refused" in answer) throw toLimitError(answer.refused);
    if (!("grant" in answer)) return undefined;
    const used = { micros: Math.min(estimate.micros, answer.grant.micros), tokens: estimate.tokens };
    this.#replaceGrant(answer.grant, { ...used, calls: 1 }, services);
    return this.#toHold(answer.grant, used);
  }

  /** Reports a call's actual cost with the next tick. */
  settle(settlement: Settlement, services: PoolServices): void {
    this.#settled.push(settlement);
    // A grant for a single call means that little is left, and others may wait for it: report at once.
    this.#schedule(this.#size > 1 ? FLUSH_MS : 0, services);
  }

  /** Requests a grant and reports what is pending. If the call fails, the report stays pending. */
  async #fetchGrant(estimate: Estimate, { client }: PoolServices): Promise<AccountReply> {
    const request = { ...estimate, calls: this.#nextSize() };
    if (!isUsable(this.#grant, estimate, this.#clock.now())) this.#returnGrant();
    return await this.#deliver(async (report) => {
      const answer = await client.take(this.#account, request, report);
      if (answer.tags !== undefined) this.#tags = answer.tags;
      if ("free" in answer) this.#freeUntil = answer.free;
      return answer;
    });
  }

  /** Makes a new grant, without what `used` reserved of it, the current one. */
  #replaceGrant(grant: Grant, used: Amount & { calls: number }, services: PoolServices): void {
    const now = this.#clock.now();
    this.#returnGrant();
    this.#size = grant.calls;
    this.#usedAt = now;
    this.#grant = subtract(grant, used);
    if (this.#hasCalls) this.#schedule(grant.expiresAt - now, services);
  }

  /** Requests the next grant of a busy account before the current one is used up or expires, so that no call waits for it. */
  #refillSoon(estimate: Estimate, services: PoolServices): void {
    const now = this.#clock.now();
    const grant = this.#grant;
    if (grant === undefined || this.#size < 2 || this.#refillUntil > now) return;
    if (grant.calls > this.#size / 4 && grant.expiresAt - now > FLUSH_MS) return;
    this.#refillUntil = now + FLUSH_MS;
    const refill = async (): Promise<void> => {
      const answer = await this.#fetchGrant(estimate, services);
      this.#refillUntil = 0;
      if ("grant" in answer) this.#replaceGrant(answer.grant, NOTHING, services);
    };
    // If this fails, the next call requests a grant itself and gets the error.
    services.waitUntil(refill().catch(() => {}));
  }

  /** Makes a tick due in `delay` milliseconds unless an earlier one is. `round`: how often this request has done so. */
  #schedule(delay: number, services: PoolServices, round = 0): void {
    const now = this.#clock.now();
    if (this.#tickAt > now && this.#tickAt <= now + delay) return;
    this.#tickAt = now + delay;
    const wait = async (): Promise<void> => {
      if (delay > 0) await this.#clock.sleep(delay);
      await this.#tick(services, round);
    };
    // A failed report is sent with the next one. If the isolate dies, the calls' records settle them.
    services.waitUntil(wait().catch(() => {}));
  }

  /** Returns an expired or idle grant, and reports what is pending. Goes on while the grant has calls. */
  async #tick(services: PoolServices, round: number): Promise<void> {
    const now = this.#clock.now();
    const isDue = this.#tickAt <= now;
    if (isDue) this.#tickAt = 0;
    const grant = this.#grant;
    if (grant !== undefined && (grant.expiresAt <= now || this.#usedAt + FLUSH_MS <= now)) this.#returnGrant();
    if (this.#settled.length > 0 || this.#unused.length > 0)
      await this.#deliver((report) => services.client.report(this.#account, report));
    // MAX_ROUNDS bounds the time for which this request stays alive; the next user of the grant continues.
    if (isDue && this.#hasCalls && round < MAX_ROUNDS) this.#schedule(FLUSH_MS, services, round + 1);
  }

  /** Sends everything that is pending. If `send` fails, it stays pending. */
  async #deliver<T>(send: (report: UsageReport) => Promise<T>): Promise<T> {
    const [settled, unused] = [this.#settled, this.#unused];
    this.#settled = [];
    this.#unused = [];
    try {
      return await send({ settled, unused });
    } catch (cause) {
      this.#settled.push(...settled);
      this.#unused.push(...unused);
      throw cause;
    }
  }

  /** Gives up the current grant; its rest is part of the next report. */
  #returnGrant(): void {
    const grant = this.#grant;
    this.#grant = undefined;
    if (grant === undefined || grant.calls < 1) return;
    const { id, calls, micros, tokens } = grant;
    this.#size = Math.max(1, this.#size - calls);
    this.#unused.push({ grant: id, calls, micros, tokens });
  }

  /** Calls to request: twice those of the last grant if most of them were used, else as many as were used. */
  #nextSize(): number {
    const left = this.#grant?.calls ?? 0;
    return Math.max(1, left <= this.#size / 4 ? this.#size * 2 : this.#size - left);
  }

  get #hasCalls(): boolean {
    return this.#grant !== undefined && this.#grant.calls > 0;
  }

  #toHold({ id, micros: granted }: Grant, { micros, tokens }: Amount): Hold {
    return { account: this.#account, grant: id, micros: Number.isFinite(granted) ? micros : 0, tokens };
  }
}

/** Whether a grant covers a call of this estimate. */
function isUsable(grant: Grant | undefined, { micros, tokens, isUnpriced }: Estimate, now: number): grant is Grant {
  if (grant === undefined || grant.expiresAt <= now || grant.calls < 1) return false;
  // With a hard budget the object has to decide, and explains the refusal.
  if (isUnpriced && Number.isFinite(grant.micros)) return false;
  return grant.micros >= micros && grant.tokens >= tokens;
}

const subtract = (grant: Grant, used: Amount & { calls: number }): Grant => ({
  ...grant,
  calls: grant.calls - used.calls,
  micros: grant.micros - used.micros,
  tokens: grant.tokens - used.tokens,
});
