import type { Account } from "./account.ts";
import type { Ledger } from "./ledger.ts";

/** The usage object of the API. Money is micro-dollars, times are RFC 3339. */
export type AccountUsage = {
  object: "usage";
  time_zone: string;
  budgets: {
    period: string;
    hard: boolean;
    limit_micros_usd: number;
    spent_micros_usd: number;
    /** Reserved for running calls and for grants that isolates hold. */
    reserved_micros_usd: number;
    remaining_micros_usd: number;
    resets_at: string | null;
  }[];
  periods: { period: string; spent_micros_usd: number; reserved_micros_usd: number }[];
  days: { day: string; calls: number; tokens: number; cost_micros_usd: number }[];
};

/** Days in a report: enough for a month and the one before. */
const REPORTED_DAYS = 62;

/** Reads an account's spending by budget, period and day. */
export function toApiUsage(ledger: Ledger, { budgets, time_zone }: Account): AccountUsage {
  const balances = ledger.readBalances();
  return {
    object: "usage",
    time_zone,
    budgets: budgets.map(({ period, hard, limit_micros_usd }) => {
      const { spent, held, resetAt } = balances.find((one) => one.period === period)!;
      return {
        period,
        hard,
        limit_micros_usd,
        spent_micros_usd: spent,
        reserved_micros_usd: held,
        remaining_micros_usd: Math.max(0, limit_micros_usd - spent - held),
        resets_at: Number.isFinite(resetAt) ? new Date(resetAt).toISOString() : null,
      };
    }),
    periods: balances.map(({ period, spent, held }) => ({
      period,
      spent_micros_usd: spent,
      reserved_micros_usd: held,
    })),
    days: ledger
      .listDays(REPORTED_DAYS)
      .map(({ day, calls, tokens, micros }) => ({ day, calls, tokens, cost_micros_usd: micros })),
  };
}
