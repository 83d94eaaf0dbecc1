import type { ErrorCode } from "../../canonical/error.ts";
import type { Sql } from "../../store/sql.ts";
import { findPeriodEnd, findFirstDay, PERIODS, type Period, currentDay } from "./periods.ts";
import type { Account, Budget } from "./account.ts";

/** How long an isolate may use what it was granted: no limit is older than that anywhere. Milliseconds. */
export const GRANT_MS = 5_000;
/**
 * When a grant is given up on which its isolate never reported, because it died. No call lasts longer, and the record
 * of each has long come by the queue. Milliseconds.
 */
const GRANT_TIMEOUT_MS = 20 * 60_000;
/** How long a record may still come for a lapsed grant: what a queue keeps, at most. Milliseconds. */
const LATE_RECORD_MS = 15 * 86_400_000;
/** A grant holds at most this share of what is left beyond its first call: what one isolate holds, no other can use. */
const GRANT_SHARE = 32;
/** Calls in one grant where nothing is limited. */
const MAX_CALLS = 10_000;
/** What counts against a limit a minute, in whole seconds: the started one belongs to it. */
const WINDOW_S = 61;

/** What a call may take. `micros`: micro-dollars. */
export type Amount = { micros: number; tokens: number };

/**
 * What is wanted: enough for one such call, and for `calls` of them if it may be. `least`: the caller bounded no
 * output, so it may also run on what is left, if that is no less than this. `isUnpriced`: nobody knows what it costs.
 */
export type GrantRequest = Amount & { calls: number; least?: number; isUnpriced?: boolean };

/** Good for `calls` calls until `expiresAt`. Infinite is what is not limited. */
export type Grant = Amount & { id: string; calls: number; expiresAt: number; rates: Rates };

/** How the limits a minute stand, for an answer's headers. `resetAt`: Unix milliseconds. */
export type Rates = { requests?: RateState; tokens?: RateState };
type RateState = { limit: number; remaining: number; resetAt: number };

export type LedgerRefusal = { code: ErrorCode; message: string; retryAfterSeconds?: number; rates?: Rates };

/** `wait`: others hold what may soon come back. */
export type GrantResult = { grant: Grant } | { refused: LedgerRefusal; wait?: boolean };

/** A call that has ended. `held`: what it was to take at most; `took`: what it did. */
export type Settlement = { grant: string; call: string; held: Amount; took: Amount };

/** What is left of a grant that is not used any more. */
export type GrantReturn = Amount & { grant: string; calls: number };

type PeriodBalance = { period: Period; day: string; spent: number; held: number; resetAt: number };

type GrantRow = { id: string; calls: number; micros: number; day: string; second: number };

export const LEDGER_MIGRATIONS: readonly string[] = [
  `CREATE TABLE grants (
     id TEXT PRIMARY KEY, account TEXT NOT NULL, calls INTEGER NOT NULL, micros INTEGER NOT NULL, day TEXT NOT NULL,
     second INTEGER NOT NULL, expires_at INTEGER NOT NULL, lapsed INTEGER NOT NULL DEFAULT 0
   );
   CREATE INDEX grants_by_account ON grants (account, lapsed);
   CREATE TABLE settled (grant_id TEXT, call_id TEXT, PRIMARY KEY (grant_id, call_id)) WITHOUT ROWID;
   CREATE TABLE days (
     account TEXT, day TEXT, calls INTEGER NOT NULL, tokens INTEGER NOT NULL, micros INTEGER NOT NULL,
     PRIMARY KEY (account, day)
   ) WITHOUT ROWID;
   CREATE TABLE seconds (
     account TEXT, second INTEGER, requests INTEGER NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (account, second)
   ) WITHOUT ROWID;
   CREATE TABLE largest (account TEXT PRIMARY KEY, micros INTEGER NOT NULL) WITHOUT ROWID;`,
];

/**
 * One account's money and rates, in the one object that knows the truth of them. Money is set aside by grants before it
 * can be spent, and a grant's calls are settled each once, by whoever tells of them first: their isolate, or their
 * record. So at every moment `spent + held ≤ limit` of every hard budget, and when all calls are settled, `spent` is
 * the sum of what they cost.
 */
export class Ledger {
  readonly #sql: Sql;
  readonly #name: string;
  readonly #now: () => number;
  readonly #newId: () => string;
  readonly #account: () => Account;

  constructor(name: string, services: { sql: Sql; now: () => number; newId: () => string; account: () => Account }) {
    this.#name = name;
    this.#sql = services.sql;
    this.#now = services.now;
    this.#newId = services.newId;
    this.#account = services.account;
  }

  /** Sets aside what a call may take, and what more calls may where much is left. */
  grant(request: GrantRequest): GrantResult {
    const now = this.#now();
    this.#expireGrants(now);
    const { budgets, limits, time_zone } = this.#account();
    const { day, end } = currentDay(now, time_zone);
    const rates = this.#readRates(now);
    const running = this.#countRunning();
    const { requests, tokens } = rates;
    if (requests !== undefined && requests.remaining < 1)
      return { refused: refuseRate("requests a minute", requests, now, rates) };
    if (tokens !== undefined && tokens.remaining < request.tokens)
      return { refused: refuseRate("tokens a minute", tokens, now, rates) };
    if (limits.concurrency !== undefined && running >= limits.concurrency) {
      const message = `the limit of ${limits.concurrency} calls at the same time is reached`;
      return { refused: { code: "rate.limited", message, retryAfterSeconds: 1, rates } };
    }
    const tightest = this.#findTightestBudget(budgets, day);
    const left = tightest === undefined ? Infinity : tightest.limit - tightest.spent - tightest.held;
    if (tightest !== undefined && request.isUnpriced) return { refused: { ...UNPRICED, rates } };
    const first = computeReservation(request, left, this.#readLargestCost());
    if (first === undefined) {
      // Infinite is left where there is no budget, so that here is one.
      const { period, limit, held, spent } = tightest!;
      const resetAt = findPeriodEnd(period, now, time_zone);
      const state = `${spent} of ${limit} micro-dollars spent, ${held} in use`;
      const message =
        left > 0
          ? `the call may cost more than is left of the ${period} budget: ${state}; a lower output limit may fit`
          : `the ${period} budget is spent: ${state}`;
      const retry = Number.isFinite(resetAt) ? { retryAfterSeconds: Math.ceil((resetAt - now) / 1000) } : {};
      const wait = held > 0 && computeReservation(request, left + held, this.#readLargestCost()) !== undefined;
      return { refused: { code: "budget.exceeded", message, ...retry, rates }, ...(wait && { wait }) };
    }
    const more = Math.min(
      Math.min(request.calls, MAX_CALLS) - 1,
      countMoreCalls((requests?.remaining ?? Infinity) - 1, 1),
      countMoreCalls((limits.concurrency ?? Infinity) - running - 1, 1),
      countMoreCalls((tokens?.remaining ?? Infinity) - request.tokens, request.tokens),
      first < request.micros ? 0 : countMoreCalls(left - request.micros, request.micros),
    );
    const calls = 1 + Math.max(0, more);
    const isMetered = tightest !== undefined;
    const grant: Grant = {
      id: this.#newId(),
      calls,
      micros: isMetered ? (calls === 1 ? first : calls * request.micros) : Infinity,
      tokens: tokens === undefined ? Infinity : calls * request.tokens,
      // In the day and the budgets' periods in which it was granted, or nowhere.
      expiresAt: Math.min(now + GRANT_MS, end),
      rates,
    };
    // What is used at once counts from now; what may be used later, from when it is used at the latest.
    const second = Math.floor((calls === 1 ? now : grant.expiresAt) / 1000);
    this.#sql(
      "INSERT INTO grants (id, account, calls, micros, day, second, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
      grant.id,
      this.#name,
      calls,
      isMetered ? grant.micros : 0,
      day,
      second,
      grant.expiresAt,
    );
    this.#countUsage(second, calls, calls * request.tokens);
    return { grant };
  }

  /** Each call once, however often it is told of. One of a grant that is no more was told of before. */
  settle({ grant: id, call, held, took }: Settlement): void {
    const grant = this.#findGrant(id);
    if (grant === undefined || !this.#markSettled(id, call)) return;
    for (const day of [grant.day, TOTAL_DAY])
      this.#sql(
        `INSERT INTO days (account, day, calls, tokens, micros) VALUES (?1, ?2, 1, ?3, ?4)
         ON CONFLICT DO UPDATE SET calls = calls + 1, tokens = tokens + ?3, micros = micros + ?4`,
        this.#name,
        day,
        took.tokens,
        took.micros,
      );
    this.#sql(
      `INSERT INTO largest (account, micros) VALUES (?1, ?2)
       ON CONFLICT DO UPDATE SET micros = max(?2, (9 * micros + ?2) / 10)`,
      this.#name,
      took.micros,
    );
    this.#countUsage(grant.second, 0, took.tokens - held.tokens);
    this.#reduceGrant(grant, { calls: 1, micros: held.micros });
  }

  /** Takes back what nobody will use: a grant's rest, once. */
  returnUnused({ grant: id, calls, micros, tokens }: GrantReturn): void {
    const grant = this.#findGrant(id);
    if (grant === undefined || !this.#markSettled(id, UNUSED_CALL)) return;
    this.#countUsage(grant.second, -calls, Number.isFinite(tokens) ? -tokens : 0);
    this.#reduceGrant(grant, { calls, micros: Number.isFinite(micros) ? micros : 0 });
  }

  /** How the budgets stand, one for each period, limited or not. */
  readBalances(): PeriodBalance[] {
    const now = this.#now();
    this.#expireGrants(now);
    const { time_zone } = this.#account();
    const { day } = currentDay(now, time_zone);
    return PERIODS.map((period) => ({
      period,
      day: findFirstDay(period, day),
      resetAt: findPeriodEnd(period, now, time_zone),
      ...this.#readSpending(period, day),
    }));
  }

  /** The latest days on which there was a call, newest first. */
  listDays(count: number): { day: string; calls: number; tokens: number; micros: number }[] {
    return this.#sql(
      "SELECT day, calls, tokens, micros FROM days WHERE account = ? AND day <> ? ORDER BY day DESC LIMIT ?",
      this.#name,
      TOTAL_DAY,
      count,
    );
  }

  /** Calls that were granted and have not ended. */
  #countRunning(): number {
    const [row] = this.#sql<{ n: number | null }>(
      "SELECT sum(calls) AS n FROM grants WHERE account = ? AND lapsed = 0",
      this.#name,
    );
    return row?.n ?? 0;
  }

  #findGrant(id: string): GrantRow | undefined {
    return this.#sql<GrantRow>("SELECT * FROM grants WHERE id = ? AND account = ?", id, this.#name)[0];
  }

  #markSettled(grant: string, call: string): boolean {
    const inserted = this.#sql(
      "INSERT INTO settled (grant_id, call_id) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING call_id",
      grant,
      call,
    );
    return inserted.length > 0;
  }

  #reduceGrant({ id, calls, micros }: GrantRow, by: { calls: number; micros: number }): void {
    const left = calls - by.calls;
    if (left > 0) {
      this.#sql("UPDATE grants SET calls = ?, micros = ? WHERE id = ?", left, Math.max(0, micros - by.micros), id);
      return;
    }
    // A lapsed one stays: should its isolate have been wrong about its calls, their records are still heard.
    const [deleted] = this.#sql("DELETE FROM grants WHERE id = ? AND lapsed = 0 RETURNING id", id);
    if (deleted !== undefined) this.#sql("DELETE FROM settled WHERE grant_id = ?", id);
  }

  #expireGrants(now: number): void {
    this.#sql(
      "UPDATE grants SET lapsed = 1, calls = 0, micros = 0 WHERE account = ? AND lapsed = 0 AND expires_at < ?",
      this.#name,
      now - GRANT_TIMEOUT_MS,
    );
    const deleted = this.#sql<{ id: string }>(
      "DELETE FROM grants WHERE account = ? AND lapsed = 1 AND expires_at < ? RETURNING id",
      this.#name,
      now - LATE_RECORD_MS,
    );
    for (const { id } of deleted) this.#sql("DELETE FROM settled WHERE grant_id = ?", id);
    const second = Math.floor(now / 1000) - WINDOW_S;
    this.#sql("DELETE FROM seconds WHERE account = ? AND second < ?", this.#name, second);
  }

  /** The hard budget that leaves the least. */
  #findTightestBudget(
    all: readonly Budget[],
    day: string,
  ): { period: Period; limit: number; spent: number; held: number } | undefined {
    return all
      .filter(({ hard }) => hard)
      .map(({ period, limit_micros_usd: limit }) => ({ period, limit, ...this.#readSpending(period, day) }))
      .toSorted((a, b) => a.limit - a.spent - a.held - (b.limit - b.spent - b.held))[0];
  }

  #readSpending(period: Period, day: string): { spent: number; held: number } {
    const first = findFirstDay(period, day);
    const [spent] = this.#sql<{ n: number | null }>(
      period === "total"
        ? "SELECT micros AS n FROM days WHERE account = ? AND day = ?"
        : "SELECT sum(micros) AS n FROM days WHERE account = ? AND day >= ?",
      this.#name,
      period === "total" ? TOTAL_DAY : first,
    );
    const [held] = this.#sql<{ n: number | null }>(
      "SELECT sum(micros) AS n FROM grants WHERE account = ? AND lapsed = 0 AND day >= ?",
      this.#name,
      first,
    );
    return { spent: spent?.n ?? 0, held: held?.n ?? 0 };
  }

  #readLargestCost(): number {
    return this.#sql<{ micros: number }>("SELECT micros FROM largest WHERE account = ?", this.#name)[0]?.micros ?? 0;
  }

  #readRates(now: number): Rates {
    const { requests_per_minute: requests, tokens_per_minute: tokens } = this.#account().limits;
    if (requests === undefined && tokens === undefined) return {};
    const firstSecond = Math.floor(now / 1000) - WINDOW_S;
    const [used] = this.#sql<{ requests: number | null; tokens: number | null; first: number | null }>(
      `SELECT sum(requests) AS requests, sum(tokens) AS tokens, min(second) AS first FROM seconds
       WHERE account = ? AND second >= ? AND (requests > 0 OR tokens > 0)`,
      this.#name,
      firstSecond,
    );
    const resetAt = used?.first == null ? now : (used.first + WINDOW_S + 1) * 1000;
    const rate = (limit: number, count: number): RateState => ({
      limit,
      remaining: Math.max(0, limit - count),
      resetAt,
    });
    return {
      ...(requests !== undefined && { requests: rate(requests, used?.requests ?? 0) }),
      ...(tokens !== undefined && { tokens: rate(tokens, used?.tokens ?? 0) }),
    };
  }

  #countUsage(second: number, requests: number, tokens: number): void {
    const { requests_per_minute, tokens_per_minute } = this.#account().limits;
    if (requests_per_minute === undefined && tokens_per_minute === undefined) return;
    this.#sql(
      `INSERT INTO seconds (account, second, requests, tokens) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT DO UPDATE SET requests = requests + ?3, tokens = tokens + ?4`,
      this.#name,
      second,
      requests,
      tokens,
    );
  }
}

/** What costs nobody knows how much cannot be kept within a budget. */
const UNPRICED = {
  code: "model.not_allowed",
  message: "model: its price is not known, and a hard budget takes no other; RHONE_PRICES can tell it",
} as const satisfies LedgerRefusal;

/** In the place of a call's id. */
const UNUSED_CALL = "unused";

/** Stands for all days together. Sorts before any, so that no sum of days has it. */
const TOTAL_DAY = "";

/**
 * What is set aside for the call: all it needs, or nothing. A call whose output has no bound may also have a part of what
 * is left: much more than calls cost lately, so that some can run side by side, or all of it while nobody knows.
 */
function computeReservation({ micros, least }: GrantRequest, left: number, largest: number): number | undefined {
  if (micros <= left) return micros;
  if (least === undefined || left <= 0 || left < Math.max(least, largest)) return undefined;
  return largest === 0 ? left : Math.min(left, Math.max(least, 4 * largest, Math.floor(left / 8)));
}

/** How many more calls fit in a share of what is left. */
const countMoreCalls = (left: number, each: number): number =>
  each <= 0 ? Infinity : Math.floor(left / GRANT_SHARE / each);

function refuseRate(what: string, { limit, resetAt }: RateState, now: number, rates: Rates): LedgerRefusal {
  const retryAfterSeconds = Math.max(1, Math.ceil((resetAt - now) / 1000));
  return { code: "rate.limited", message: `the limit of ${limit} ${what} is reached`, retryAfterSeconds, rates };
}
