import type { Sql } from "../../store/sql.ts";
import type { Account, Budget } from "./account.ts";
import { type Balance, type BudgetBalance, checkGrant, leftOf, sizeGrant } from "./grant-rules.ts";
import type { Grant, GrantRequest, GrantResult, GrantReturn, Rates, RateState, Settlement } from "./grant.ts";
import { currentDay, findFirstDay, findPeriodEnd, type Period, PERIODS } from "./periods.ts";

/** How long an isolate may use a grant; a changed limit applies everywhere after this time. Milliseconds. */
export const GRANT_MS = 5_000;
/**
 * Age after its end at which a grant is expired whose isolate never reported on it, because it died. No call lasts longer,
 * and the records of its calls have arrived through the queue by then. Milliseconds.
 */
const GRANT_TIMEOUT_MS = 20 * 60_000;
/** How long a record may still arrive for an expired grant: a queue retains messages for at most 14 days. Milliseconds. */
const LATE_RECORD_MS = 15 * 86_400_000;
/** Length of the window for limits per minute: 60 seconds and the current one, which is not complete. Seconds. */
const WINDOW_S = 61;
/** Balance of a period. `day`: its first. `spent`, `held`: micro-dollars. `resetAt`: Unix milliseconds. */
type PeriodBalance = { period: Period; day: string; spent: number; held: number; resetAt: number };

/** `micros`: 0 without a hard budget. `second`: the one in which its requests and tokens count. */
type GrantRow = { id: string; calls: number; micros: number; day: string; second: number; lapsed: number };

/**
 * Schema of ledgers; several accounts may share a database. Steps are only ever added. `settled`: calls and returns that
 * were counted. `days`: spending by day, TOTAL_DAY for all. `seconds`: requests and tokens of the last minute. `largest`:
 * a decaying maximum of the cost of calls.
 */
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
 * One account's money and rates, in the one object that decides about them. Money is reserved by grants before it is
 * spent, and each call of a grant is settled once, by its isolate's report or by its record, whichever arrives first. So
 * `spent + held ≤ limit` holds for every hard budget at all times, and once all calls are settled, `spent` is the sum of
 * their costs.
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

  /** Reserves for one call, and for more calls if much is left. */
  grant(request: GrantRequest): GrantResult {
    const now = this.#now();
    this.#expireGrants(now);
    const balance = this.#readBalance(now);
    const refusal = checkGrant(request, balance);
    if (refusal !== undefined) return refusal;
    const { day, end } = currentDay(now, this.#account().time_zone);
    const grant: Grant = {
      id: this.#newId(),
      ...sizeGrant(request, balance),
      // No longer than the day: spending counts in the periods in which the grant was made.
      expiresAt: Math.min(now + GRANT_MS, end),
      rates: balance.rates,
    };
    // A single call counts from now. Calls of a larger grant may start until it expires, so they count from then.
    const second = Math.floor((grant.calls === 1 ? now : grant.expiresAt) / 1000);
    this.#insertGrant(grant, day, second);
    this.#countUsage(second, grant.calls, grant.calls * request.tokens);
    return { grant };
  }

  /**
   * Counts what calls have cost and frees their reservations; later reports of a call are ignored. A grant is deleted only when all
   * its calls are settled. What the calls have in common is written once.
   */
  settle(...settlements: readonly Settlement[]): void {
    const sums = new SettledSums();
    for (const settlement of settlements) {
      const { grant: id, call } = settlement;
      const grant = sums.grants.get(id)?.row ?? this.#findGrant(id);
      if (grant !== undefined && !sums.isUsedUp(grant) && this.#markSettled(id, call)) sums.add(grant, settlement);
    }
    for (const [day, { calls, tokens, micros }] of sums.days)
      this.#sql(
        `INSERT INTO days (account, day, calls, tokens, micros) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET calls = calls + ?3, tokens = tokens + ?4, micros = micros + ?5`,
        this.#name,
        day,
        calls,
        tokens,
        micros,
      );
    if (sums.costs.length > 0)
      this.#sql(
        "INSERT INTO largest (account, micros) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET micros = ?2",
        this.#name,
        sums.costs.reduce(
          (largest, micros) => Math.max(micros, Math.trunc((9 * largest + micros) / 10)),
          this.#readLargestCost(),
        ),
      );
    for (const [second, tokens] of sums.seconds) this.#countUsage(second, 0, tokens);
    for (const { row, calls, micros } of sums.grants.values()) this.#reduceGrant(row, { calls, micros });
  }

  /** Frees the rest of a grant that will not be used, once. */
  returnUnused({ grant: id, calls, micros, tokens }: GrantReturn): void {
    const grant = this.#findGrant(id);
    if (grant === undefined || !this.#markSettled(id, UNUSED_CALL)) return;
    this.#countUsage(grant.second, -calls, Number.isFinite(tokens) ? -tokens : 0);
    this.#reduceGrant(grant, { calls, micros: Number.isFinite(micros) ? micros : 0 });
  }

  /** The balance of each period, with or without a budget. */
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

  /** The latest `count` days with calls, newest first. */
  listDays(count: number): { day: string; calls: number; tokens: number; micros: number }[] {
    return this.#sql(
      "SELECT day, calls, tokens, micros FROM days WHERE account = ? AND day <> ? ORDER BY day DESC LIMIT ?",
      this.#name,
      TOTAL_DAY,
      count,
    );
  }

  /** Calls of open grants that are not settled; unused ones of a grant count as running. */
  #countRunning(): number {
    const [row] = this.#sql<{ n: number | null }>(
      "SELECT sum(calls) AS n FROM grants WHERE account = ? AND lapsed = 0",
      this.#name,
    );
    return row?.n ?? 0;
  }

  #insertGrant({ id, calls, micros, expiresAt }: Grant, day: string, second: number): void {
    this.#sql(
      "INSERT INTO grants (id, account, calls, micros, day, second, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
      id,
      this.#name,
      calls,
      Number.isFinite(micros) ? micros : 0,
      day,
      second,
      expiresAt,
    );
  }

  #findGrant(id: string): GrantRow | undefined {
    return this.#sql<GrantRow>("SELECT * FROM grants WHERE id = ? AND account = ?", id, this.#name)[0];
  }

  /** False if the call was settled before. */
  #markSettled(grant: string, call: string): boolean {
    const inserted = this.#sql(
      "INSERT INTO settled (grant_id, call_id) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING call_id",
      grant,
      call,
    );
    return inserted.length > 0;
  }

  /** Removes calls and their money from a grant, and deletes it when none is left. */
  #reduceGrant({ id, calls, micros }: GrantRow, by: { calls: number; micros: number }): void {
    const left = calls - by.calls;
    if (left > 0) {
      this.#sql("UPDATE grants SET calls = ?, micros = ? WHERE id = ?", left, Math.max(0, micros - by.micros), id);
      return;
    }
    // An expired grant stays until LATE_RECORD_MS: records of calls that its isolate never reported may still arrive.
    const [deleted] = this.#sql("DELETE FROM grants WHERE id = ? AND lapsed = 0 RETURNING id", id);
    if (deleted !== undefined) this.#sql("DELETE FROM settled WHERE grant_id = ?", id);
  }

  /** Frees what unreported grants reserve, and deletes old rows. */
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

  /** What the rules about grants depend on. */
  #readBalance(now: number): Balance {
    const { budgets, limits, time_zone } = this.#account();
    return {
      now,
      rates: this.#readRates(now),
      running: this.#countRunning(),
      concurrency: limits.concurrency,
      budget: this.#findTightestBudget(budgets, now, time_zone),
      largest: this.#readLargestCost(),
    };
  }

  /** The hard budget with the least money left; undefined if there is none. */
  #findTightestBudget(all: readonly Budget[], now: number, timeZone: string): BudgetBalance | undefined {
    const { day } = currentDay(now, timeZone);
    return all
      .filter(({ hard }) => hard)
      .map(({ period, limit_micros_usd: limit }) => ({
        period,
        limit,
        resetAt: findPeriodEnd(period, now, timeZone),
        ...this.#readSpending(period, day),
      }))
      .toSorted((a, b) => leftOf(a) - leftOf(b))[0];
  }

  /** Spent and reserved micro-dollars of the period that contains this day. */
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

  /** State of the limits per minute; empty if there are none, so that no window is read. */
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

  /** Adds to the window of the limits per minute, negative numbers too. Nothing is written without such limits. */
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

/** What the calls of a report change: of grants, days, and seconds. `costs`: in the order of the calls. */
class SettledSums {
  readonly grants = new Map<string, { row: GrantRow; calls: number; micros: number }>();
  readonly days = new Map<string, { calls: number; tokens: number; micros: number }>();
  readonly seconds = new Map<number, number>();
  readonly costs: number[] = [];

  /** Whether the grant will be deleted with the calls so far: it settles no more. A lapsed one stays. */
  isUsedUp({ id, calls, lapsed }: GrantRow): boolean {
    return lapsed === 0 && (this.grants.get(id)?.calls ?? 0) >= calls;
  }

  add(row: GrantRow, { held, took }: Settlement): void {
    const { calls, micros } = this.grants.get(row.id) ?? { calls: 0, micros: 0 };
    this.grants.set(row.id, { row, calls: calls + 1, micros: micros + held.micros });
    for (const day of [row.day, TOTAL_DAY]) {
      const sum = this.days.get(day) ?? { calls: 0, tokens: 0, micros: 0 };
      this.days.set(day, { calls: sum.calls + 1, tokens: sum.tokens + took.tokens, micros: sum.micros + took.micros });
    }
    this.seconds.set(row.second, (this.seconds.get(row.second) ?? 0) + took.tokens - held.tokens);
    this.costs.push(took.micros);
  }
}

/** Stands for a call's id in `settled`: the return of a grant's rest. */
const UNUSED_CALL = "unused";

/** The row in `days` for all days together. Sorts before every day, so that no sum over days includes it. */
const TOTAL_DAY = "";
