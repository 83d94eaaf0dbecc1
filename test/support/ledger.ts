import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import type { Account } from "../../src/keys/budget/account.ts";
import { Ledger, LEDGER_MIGRATIONS } from "../../src/keys/budget/ledger.ts";
import type { Sql } from "../../src/store/sql.ts";

/** A clock that stands until it is told to go on; sleepers wake in their order. */
export class Clock {
  at = Date.parse("2026-11-21T10:00:00Z");
  #sleepers: { at: number; wake: () => void }[] = [];

  readonly now = (): number => this.at;
  readonly sleep = (ms: number): Promise<void> =>
    new Promise((wake) => this.#sleepers.push({ at: this.at + ms, wake }));

  async pass(ms: number): Promise<void> {
    const end = this.at + ms;
    for (;;) {
      const due = this.#sleepers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#sleepers = this.#sleepers.filter((one) => one !== due);
      this.at = Math.max(this.at, due.at);
      due.wake();
      await settled();
    }
    this.at = end;
    await settled();
  }
}

/** All that is under way and waits for nothing but itself. */
export const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

export const OPEN: Account = { budgets: [], limits: {}, time_zone: "UTC" };
export const budget = (limit: number, period: "daily" | "total" = "total"): Account => ({
  ...OPEN,
  budgets: [{ period, limit_micros_usd: limit, hard: true }],
});

function sqlite(): Sql {
  const db = new DatabaseSync(":memory:");
  db.exec(LEDGER_MIGRATIONS[0]!);
  const known = new Map<string, ReturnType<DatabaseSync["prepare"]>>();
  return (query, ...values) => {
    const statement = known.get(query) ?? db.prepare(query);
    known.set(query, statement);
    return statement.all(...(values as SQLInputValue[])) as never[];
  };
}

export function ledgerOf(account: Account, clock = new Clock()): { ledger: Ledger; clock: Clock; sql: Sql } {
  let count = 0;
  const sql = sqlite();
  const ledger = new Ledger("", { sql, now: clock.now, newId: () => `grant_${count++}`, account: () => account });
  return { ledger, clock, sql };
}

export const totalOf = (ledger: Ledger): { spent: number; held: number } => {
  const { spent, held } = ledger.readBalances().find(({ period }) => period === "total")!;
  return { spent, held };
};
