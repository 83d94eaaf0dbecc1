import { namePayerAccount, nameTagAccount } from "./account-name.ts";
import type { Amount, Grant, GrantRequest, GrantResult, GrantReturn, Rates, Settlement } from "./grant.ts";
import { toLimitError } from "./limit-error.ts";
import type { UsageReport } from "./wait-queue.ts";

/** How long settlements are collected before they are reported to the account's object. Milliseconds. */
const FLUSH_MS = 1_000;
/** How often one request checks whether a grant is idle: enough for the five seconds that a grant lasts. */
const MAX_ROUNDS = 6;
/** Accounts in an isolate's memory from which on idle ones are evicted. */
const MAX_ACCOUNTS = 5_000;

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
export type Reservation = { parts: Hold[]; rates: Rates };

/** An upper bound of what a call costs. */
export type Estimate = Omit<GrantRequest, "calls">;

/** The accounts that a call may be charged to: a key, the keys above it, their organisation, and the request's tags. */
type ChargedAccounts = {
  key: string;
  parents: readonly string[];
  organization: string;
  tags: readonly string[];
};

/** What belongs to one request. `waitUntil` keeps work alive after its end. */
type PoolServices = { client: AccountClient; waitUntil: (work: Promise<unknown>) => void };

type AccountGrants = {
  /** The unused rest of the current grant. */
  grant: Grant | undefined;
  /** Calls that the grant was for, without those returned. */
  size: number;
  usedAt: number;
  freeUntil: number;
  tags: readonly string[];
  settled: Settlement[];
  unused: GrantReturn[];
  /** When the next flush is due, and until when a refill counts as running: the request that runs it may be killed. Unix milliseconds. */
  flushAt: number;
  refillUntil: number;
};

/**
 * An isolate's grants of all accounts. Calls are reserved against grants in memory; an account's object is called only for
 * new grants. Shared by all requests and objects of an isolate, which must not use each other's platform objects:
 * therefore everything that belongs to one request is a parameter.
 */
export class GrantPool {
  readonly #accounts = new Map<string, AccountGrants>();
  readonly #now: () => number;
  readonly #sleep: (ms: number) => Promise<void>;

  constructor(now: () => number, sleep: (ms: number) => Promise<void>) {
    this.#now = now;
    this.#sleep = sleep;
  }

  /**
   * Reserves a call's estimate in all accounts or in none. Throws `budget.exceeded`, `rate.limited`, `model.not_allowed`
   * without a price, or `auth.*` if a key is no longer valid.
   */
  async reserve(
    call: string,
    { key, parents, organization, tags }: ChargedAccounts,
    estimate: Estimate,
    services: PoolServices,
  ): Promise<Reservation> {
    const parts: Hold[] = [];
    try {
      await this.#reserveAll([key, ...parents.map(namePayerAccount), organization], estimate, services, parts);
      const counted = this.#grantsOf(organization).tags;
      const tagged = [...new Set(tags)].filter((tag) => counted.includes(tag));
      if (tagged.length > 0)
        await this.#reserveAll(
          tagged.map((tag) => nameTagAccount(organization, tag)),
          estimate,
          services,
          parts,
        );
    } catch (thrown) {
      // Under another id: the same call may be reserved again, and each id is settled once.
      this.settle(`${call}/refused`, parts, { micros: 0, tokens: 0 }, services);
      throw thrown;
    }
    return { parts, rates: this.#readRates(key) };
  }

  /** Reports a call's actual cost; the rest of its reservation becomes free. `parts`: those of its reservation. */
  settle(call: string, parts: readonly Hold[], took: Amount, services: PoolServices): void {
    for (const { account, grant, micros, tokens } of parts) {
      const grants = this.#grantsOf(account);
      grants.settled.push({ grant, call, held: { micros, tokens }, took });
      // A grant for a single call means that little is left, and others may wait for it: report at once.
      this.#flushLater(account, grants, grants.size > 1 ? FLUSH_MS : 0, services);
    }
  }

  /** Reserves from grants in memory, and requests the missing ones concurrently. On an error `parts` has what was reserved. */
  async #reserveAll(
    accounts: readonly string[],
    estimate: Estimate,
    services: PoolServices,
    parts: Hold[],
  ): Promise<void> {
    const requests: Promise<void>[] = [];
    for (const account of accounts) {
      const grants = this.#grantsOf(account);
      if (grants.freeUntil > this.#now()) continue;
      const part = this.#reserveFromGrant(account, grants, estimate);
      if (part === undefined) requests.push(this.#reserveFromNewGrant(account, grants, estimate, services, parts));
      else {
        parts.push(part);
        this.#refillSoon(account, grants, estimate, services);
      }
    }
    if (requests.length === 0) return;
    const failed = (await Promise.allSettled(requests)).find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  /** undefined: the current grant does not suffice. */
  #reserveFromGrant(account: string, grants: AccountGrants, estimate: Estimate): Hold | undefined {
    const { grant } = grants;
    const { micros, tokens } = estimate;
    const now = this.#now();
    if (!isUsable(grant, estimate, now)) return undefined;
    grants.grant = {
      ...grant,
      calls: grant.calls - 1,
      micros: grant.micros - micros,
      tokens: grant.tokens - tokens,
    };
    grants.usedAt = now;
    return { account, grant: grant.id, micros: Number.isFinite(grant.micros) ? micros : 0, tokens };
  }

  /** Throws if the account refuses. Adds nothing for an account without limits. */
  async #reserveFromNewGrant(
    account: string,
    grants: AccountGrants,
    estimate: Estimate,
    services: PoolServices,
    parts: Hold[],
  ): Promise<void> {
    const answer = await this.#fetchGrant(account, grants, estimate, services);
    if ("refused" in answer) throw toLimitError(answer.refused);
    if (!("grant" in answer)) return;
    const { grant } = answer;
    const micros = Math.min(estimate.micros, grant.micros);
    parts.push({
      account,
      grant: grant.id,
      micros: Number.isFinite(grant.micros) ? micros : 0,
      tokens: estimate.tokens,
    });
    this.#replaceGrant(account, grants, grant, { micros, tokens: estimate.tokens, calls: 1 }, services);
  }

  /** Requests a grant and reports what is pending. If the call fails, the report stays pending. */
  async #fetchGrant(
    account: string,
    grants: AccountGrants,
    estimate: Estimate,
    { client }: PoolServices,
  ): Promise<AccountReply> {
    const request = { ...estimate, calls: nextGrantSize(grants) };
    if (!isUsable(grants.grant, estimate, this.#now())) this.#returnGrant(grants);
    const report = drainReport(grants);
    try {
      const answer = await client.take(account, request, report);
      if (answer.tags !== undefined) grants.tags = answer.tags;
      if ("free" in answer) grants.freeUntil = answer.free;
      return answer;
    } catch (cause) {
      restoreReport(grants, report);
      throw cause;
    }
  }

  /** Makes a new grant, without what `used` reserved of it, the current one. */
  #replaceGrant(
    account: string,
    grants: AccountGrants,
    grant: Grant,
    used: Amount & { calls: number },
    services: PoolServices,
  ): void {
    this.#returnGrant(grants);
    grants.size = grant.calls;
    grants.usedAt = this.#now();
    grants.grant = {
      ...grant,
      calls: grant.calls - used.calls,
      micros: grant.micros - used.micros,
      tokens: grant.tokens - used.tokens,
    };
    if (grants.grant.calls > 0) this.#flushLater(account, grants, grant.expiresAt - this.#now(), services);
  }

  /** Requests the next grant of a busy account before the current one is used up or expires, so that no call waits for it. */
  #refillSoon(account: string, grants: AccountGrants, estimate: Estimate, services: PoolServices): void {
    const { grant, size } = grants;
    const now = this.#now();
    if (grant === undefined || size < 2 || grants.refillUntil > now) return;
    if (grant.calls > size / 4 && grant.expiresAt - now > FLUSH_MS) return;
    grants.refillUntil = now + FLUSH_MS;
    const refill = async (): Promise<void> => {
      const answer = await this.#fetchGrant(account, grants, estimate, services);
      grants.refillUntil = 0;
      if ("grant" in answer)
        this.#replaceGrant(account, grants, answer.grant, { micros: 0, tokens: 0, calls: 0 }, services);
    };
    // If this fails, the next call requests a grant itself and gets the error.
    services.waitUntil(refill().catch(() => {}));
  }

  /** Schedules a flush in `delay` milliseconds unless an earlier one is due. `round`: how often this request has done so. */
  #flushLater(account: string, grants: AccountGrants, delay: number, services: PoolServices, round = 0): void {
    const now = this.#now();
    if (grants.flushAt > now && grants.flushAt <= now + delay) return;
    grants.flushAt = now + delay;
    const flush = async (): Promise<void> => {
      if (delay > 0) await this.#sleep(delay);
      const isDue = grants.flushAt <= this.#now();
      if (isDue) grants.flushAt = 0;
      await this.#flush(account, grants, services);
      // MAX_ROUNDS bounds the time for which this request stays alive; the next user of the grant continues.
      if (isDue && grants.grant !== undefined && grants.grant.calls > 0 && round < MAX_ROUNDS)
        this.#flushLater(account, grants, FLUSH_MS, services, round + 1);
    };
    // A failed report is sent with the next one. If the isolate dies, the calls' records settle them.
    services.waitUntil(flush().catch(() => {}));
  }

  /** Returns an expired or idle grant, and reports what is pending. */
  async #flush(account: string, grants: AccountGrants, { client }: PoolServices): Promise<void> {
    const now = this.#now();
    const { grant } = grants;
    if (grant !== undefined && (grant.expiresAt <= now || grants.usedAt + FLUSH_MS <= now)) this.#returnGrant(grants);
    const report = drainReport(grants);
    if (report.settled.length === 0 && report.unused.length === 0) return;
    try {
      await client.report(account, report);
    } catch (cause) {
      restoreReport(grants, report);
      throw cause;
    }
  }

  /** Gives up the current grant; its rest is part of the next report. */
  #returnGrant(grants: AccountGrants): void {
    const { grant } = grants;
    grants.grant = undefined;
    if (grant === undefined || grant.calls < 1) return;
    const { id, calls, micros, tokens } = grant;
    grants.size = Math.max(1, grants.size - calls);
    grants.unused.push({ grant: id, calls, micros, tokens });
  }

  /** Rates at the time of the grant, less the requests made since. */
  #readRates(account: string): Rates {
    const { grant, size } = this.#grantsOf(account);
    if (grant === undefined) return {};
    const { requests, tokens } = grant.rates;
    const used = size - grant.calls;
    return {
      ...(requests && { requests: { ...requests, remaining: Math.max(0, requests.remaining - used) } }),
      ...(tokens && { tokens }),
    };
  }

  #grantsOf(account: string): AccountGrants {
    const existing = this.#accounts.get(account);
    if (existing !== undefined) return existing;
    if (this.#accounts.size >= MAX_ACCOUNTS) this.#evictIdle();
    const grants: AccountGrants = {
      grant: undefined,
      size: 0,
      usedAt: 0,
      freeUntil: 0,
      tags: [],
      settled: [],
      unused: [],
      flushAt: 0,
      refillUntil: 0,
    };
    this.#accounts.set(account, grants);
    return grants;
  }

  /** Forgets accounts without a valid grant or pending reports. */
  #evictIdle(): void {
    const now = this.#now();
    for (const [account, { grant, settled, unused, freeUntil }] of this.#accounts) {
      const isIdle = (grant === undefined || grant.expiresAt <= now) && freeUntil <= now;
      if (isIdle && settled.length === 0 && unused.length === 0) this.#accounts.delete(account);
    }
  }
}

/** Whether a grant covers a call of this estimate. */
function isUsable(grant: Grant | undefined, { micros, tokens, isUnpriced }: Estimate, now: number): grant is Grant {
  if (grant === undefined || grant.expiresAt <= now || grant.calls < 1) return false;
  // With a hard budget the object has to decide, and explains the refusal.
  if (isUnpriced && Number.isFinite(grant.micros)) return false;
  return grant.micros >= micros && grant.tokens >= tokens;
}

/** Calls to request: twice those of the last grant if most of them were used, else as many as were used. */
function nextGrantSize({ grant, size }: AccountGrants): number {
  const left = grant?.calls ?? 0;
  return Math.max(1, left <= size / 4 ? size * 2 : size - left);
}

/** Takes everything pending out of the account. */
function drainReport(grants: AccountGrants): UsageReport {
  const { settled, unused } = grants;
  grants.settled = [];
  grants.unused = [];
  return { settled, unused };
}

/** The inverse of `drainReport`, for a report that was not delivered. */
function restoreReport(grants: AccountGrants, { settled, unused }: UsageReport): void {
  grants.settled.push(...settled);
  grants.unused.push(...unused);
}
