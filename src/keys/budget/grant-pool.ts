import { GatewayError } from "../../canonical/error.ts";
import type {
  Amount,
  Grant,
  GrantRequest,
  Rates,
  LedgerRefusal,
  Settlement,
  GrantResult,
  GrantReturn,
} from "./ledger.ts";
import type { UsageReport } from "./wait-queue.ts";

/** How long what is settled may wait for more of it on its way to the account's object. Milliseconds. */
const FLUSH_MS = 1_000;
/** How often one request looks after a grant. It lasts five seconds. */
const MAX_ROUNDS = 6;
/** Accounts remembered by an isolate before it looks for some to forget. */
const MAX_ACCOUNTS = 5_000;

/** The object of an account. `report` is heard before anything is taken. */
export type AccountClient = {
  take: (account: string, request: GrantRequest, report: UsageReport) => Promise<AccountReply>;
  report: (account: string, report: UsageReport) => Promise<void>;
};

/**
 * `free`: nothing is counted there, until then. `tags`: those that have accounts of their own, in an organisation's
 * answer.
 */
export type AccountReply = (GrantResult | { free: number }) & { tags?: readonly string[] };

/** What is set aside for one call, in each account it is charged to. It stands in the call's record. */
export type Hold = Amount & { account: string; grant: string };
export type Reservation = { parts: Hold[]; rates: Rates };

export type Estimate = Omit<GrantRequest, "calls">;

/** Whom a call is charged to: a key, the keys above it, their organisation, and those of the call's tags that it counts. */
type ChargedAccounts = {
  key: string;
  parents: readonly string[];
  organization: string;
  tags: readonly string[];
};

type PoolServices = { client: AccountClient; waitUntil: (work: Promise<unknown>) => void };

type AccountGrants = {
  /** What is left of it. */
  grant: Grant | undefined;
  /** How many calls it was for. */
  size: number;
  usedAt: number;
  freeUntil: number;
  tags: readonly string[];
  settled: Settlement[];
  unused: GrantReturn[];
  /** When a flush is due, and until when a refill is under way, should nothing have killed them. */
  flushAt: number;
  refillUntil: number;
};

/** Accounts are named by their objects, and by what in them is meant. A tag may hold any character, an id may not. */
const nameTagAccount = (organization: string, tag: string): string => `${organization}#${tag}`;
const namePayerAccount = (key: string): string => `${key}^`;

/** The inverse. `isPayer`: a key that is charged for one that it made. */
export function parseAccountName(name: string): { id: string; tag?: string; isPayer: boolean } {
  const hash = name.indexOf("#");
  if (hash > 0) return { id: name.slice(0, hash), tag: name.slice(hash + 1), isPayer: false };
  const isPayer = name.endsWith("^");
  return { id: isPayer ? name.slice(0, -1) : name, isPayer };
}

/**
 * An isolate's side of all accounts: it reserves against the grants that it holds and asks an account's object only for
 * new ones. Knows no platform class, so that it can be shared by all objects and requests of an isolate: what belongs
 * to one request is handed in.
 */
export class GrantPool {
  readonly #accounts = new Map<string, AccountGrants>();
  readonly #now: () => number;
  readonly #sleep: (ms: number) => Promise<void>;

  constructor(now: () => number, sleep: (ms: number) => Promise<void>) {
    this.#now = now;
    this.#sleep = sleep;
  }

  /** Sets aside what a call may take, everywhere or nowhere. Throws `budget.exceeded`, `rate.limited`, or `auth.*` of a key that is no more. */
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
      // Not as the call's own: it may ask again.
      this.settle(`${call}/refused`, parts, { micros: 0, tokens: 0 }, services);
      throw thrown;
    }
    return { parts, rates: this.#readRates(key) };
  }

  /** A call has ended: what it did not take is free again. */
  settle(call: string, parts: readonly Hold[], took: Amount, services: PoolServices): void {
    for (const { account, grant, micros, tokens } of parts) {
      const grants = this.#grantsOf(account);
      grants.settled.push({ grant, call, held: { micros, tokens }, took });
      // Where little is left others wait for it.
      this.#flushLater(account, grants, grants.size > 1 ? FLUSH_MS : 0, services);
    }
  }

  /** From what is held where it is held; the others are asked side by side. Parts that were got stand in `parts` whatever happens. */
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

  /** What a grant holds beyond the call that it was asked for. */
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

  /** A busy account is asked again before its grant is used up or old, so that no call has to wait for that. */
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
    // Should that fail, the next call asks by itself and is told why.
    services.waitUntil(refill().catch(() => {}));
  }

  #flushLater(account: string, grants: AccountGrants, delay: number, services: PoolServices, round = 0): void {
    const now = this.#now();
    if (grants.flushAt > now && grants.flushAt <= now + delay) return;
    grants.flushAt = now + delay;
    const flush = async (): Promise<void> => {
      if (delay > 0) await this.#sleep(delay);
      const isDue = grants.flushAt <= this.#now();
      if (isDue) grants.flushAt = 0;
      await this.#flush(account, grants, services);
      // What others hold on to must not keep this request alive for ever: whoever uses it next goes on.
      if (isDue && grants.grant !== undefined && grants.grant.calls > 0 && round < MAX_ROUNDS)
        this.#flushLater(account, grants, FLUSH_MS, services, round + 1);
    };
    // What cannot be told now is told with the next report; and by the calls' records, whatever becomes of this isolate.
    services.waitUntil(flush().catch(() => {}));
  }

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

  #returnGrant(grants: AccountGrants): void {
    const { grant } = grants;
    grants.grant = undefined;
    if (grant === undefined || grant.calls < 1) return;
    const { id, calls, micros, tokens } = grant;
    grants.size = Math.max(1, grants.size - calls);
    grants.unused.push({ grant: id, calls, micros, tokens });
  }

  /** The object counted before the grant; of the grant, what is not used is still there. */
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

  #evictIdle(): void {
    const now = this.#now();
    for (const [account, { grant, settled, unused, freeUntil }] of this.#accounts) {
      const isIdle = (grant === undefined || grant.expiresAt <= now) && freeUntil <= now;
      if (isIdle && settled.length === 0 && unused.length === 0) this.#accounts.delete(account);
    }
  }
}

function isUsable(grant: Grant | undefined, { micros, tokens, isUnpriced }: Estimate, now: number): grant is Grant {
  if (grant === undefined || grant.expiresAt <= now || grant.calls < 1) return false;
  // Where there is a budget the object says why not.
  if (isUnpriced && Number.isFinite(grant.micros)) return false;
  return grant.micros >= micros && grant.tokens >= tokens;
}

/** Twice as many calls as the last grant was for, when most of them were used; else as many as were used. */
function nextGrantSize({ grant, size }: AccountGrants): number {
  const left = grant?.calls ?? 0;
  return Math.max(1, left <= size / 4 ? size * 2 : size - left);
}

function drainReport(grants: AccountGrants): UsageReport {
  const { settled, unused } = grants;
  grants.settled = [];
  grants.unused = [];
  return { settled, unused };
}

function restoreReport(grants: AccountGrants, { settled, unused }: UsageReport): void {
  grants.settled.push(...settled);
  grants.unused.push(...unused);
}

function toLimitError({ code, message, retryAfterSeconds, rates }: LedgerRefusal): GatewayError {
  return new LimitError(code, message, rates ?? {}, retryAfterSeconds);
}

/** A refusal that says how the limits stand. */
export class LimitError extends GatewayError {
  readonly rates: Rates;

  constructor(code: GatewayError["code"], message: string, rates: Rates, retryAfterSeconds: number | undefined) {
    super(code, message, retryAfterSeconds === undefined ? {} : { retryAfterSeconds });
    this.rates = rates;
  }
}
