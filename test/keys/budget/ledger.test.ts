import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { parseAccountName } from "../../../src/keys/budget/account-name.ts";
import type { Account } from "../../../src/keys/budget/account.ts";
import { GrantPool, type AccountClient } from "../../../src/keys/budget/grant-pool.ts";
import type { GrantRequest, Settlement, GrantResult } from "../../../src/keys/budget/grant.ts";
import { GRANT_MS, Ledger, LEDGER_MIGRATIONS } from "../../../src/keys/budget/ledger.ts";
import { type UsageReport, WaitQueue } from "../../../src/keys/budget/wait-queue.ts";
import type { Sql } from "../../../src/store/sql.ts";

/** A clock that stands until it is told to go on; sleepers wake in their order. */
class Clock {
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
const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

const OPEN: Account = { budgets: [], limits: {}, time_zone: "UTC" };
const budget = (limit: number, period: "daily" | "total" = "total"): Account => ({
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

function ledgerOf(account: Account, clock = new Clock()): { ledger: Ledger; clock: Clock; sql: Sql } {
  let count = 0;
  const sql = sqlite();
  const ledger = new Ledger("", { sql, now: clock.now, newId: () => `grant_${count++}`, account: () => account });
  return { ledger, clock, sql };
}

const need = (micros: number, more: Partial<GrantRequest> = {}): GrantRequest => ({
  micros,
  tokens: 1,
  calls: 1,
  ...more,
});

function granted(taken: GrantResult): string {
  if ("refused" in taken) throw new Error(taken.refused.message);
  return taken.grant.id;
}

const ended = (grant: string, call: string, held: number, took: number): Settlement => ({
  grant,
  call,
  held: { micros: held, tokens: 1 },
  took: { micros: took, tokens: 1 },
});

const totalOf = (ledger: Ledger): { spent: number; held: number } => {
  const { spent, held } = ledger.readBalances().find(({ period }) => period === "total")!;
  return { spent, held };
};

describe("a ledger", () => {
  it("a ledger reserves money, and takes what the call cost", () => {
    const { ledger } = ledgerOf(budget(1000));
    const grant = granted(ledger.grant(need(400)));
    expect(totalOf(ledger)).toEqual({ spent: 0, held: 400 });
    ledger.settle(ended(grant, "a", 400, 150));
    expect(totalOf(ledger)).toEqual({ spent: 150, held: 0 });
  });

  it("a ledger settles a call once, however often it is reported", () => {
    const { ledger } = ledgerOf(budget(1000));
    const taken = ledger.grant(need(10, { calls: 2 }));
    const grant = granted(taken);
    for (let i = 0; i < 3; i++) ledger.settle(ended(grant, "a", 10, 7));
    ledger.settle(ended(grant, "b", 10, 5));
    ledger.settle(ended(grant, "b", 10, 5));
    expect(totalOf(ledger).spent).toBe("grant" in taken && taken.grant.calls > 1 ? 12 : 7);
  });

  it("a ledger refuses what could pass a hard budget, with the time until its next period", () => {
    const { ledger, clock } = ledgerOf(budget(1000, "daily"));
    ledger.settle(ended(granted(ledger.grant(need(1000))), "a", 1000, 990));
    const taken = ledger.grant(need(11));
    expect(taken).toMatchObject({ refused: { code: "budget.exceeded", retryAfterSeconds: 14 * 3600 } });
    expect(ledger.grant(need(10))).toHaveProperty("grant");
    clock.at += 14 * 3_600_000;
    expect(ledger.grant(need(1000))).toHaveProperty("grant");
  });

  it("a ledger accepts a call that cost more than was reserved, and refuses the next", () => {
    const { ledger } = ledgerOf(budget(100));
    ledger.settle(ended(granted(ledger.grant(need(100))), "a", 100, 130));
    expect(totalOf(ledger)).toEqual({ spent: 130, held: 0 });
    expect(ledger.grant(need(1))).toMatchObject({ refused: { code: "budget.exceeded" } });
  });

  it("a ledger lets a call without a bound run on what is left, when others cost no more", () => {
    const { ledger } = ledgerOf(budget(1000));
    const first = ledger.grant(need(4000, { least: 10 }));
    expect(first).toMatchObject({ grant: { micros: 1000, calls: 1 } });
    expect(ledger.grant(need(4000, { least: 10 }))).toMatchObject({ wait: true });
    ledger.settle(ended(granted(first), "a", 1000, 700));
    expect(ledger.grant(need(4000, { least: 10 }))).toMatchObject({ refused: { code: "budget.exceeded" } });
    expect(ledger.grant(need(300))).toHaveProperty("grant");
  });

  it("a ledger lets calls without a bound run side by side when their usual cost is known", () => {
    const { ledger } = ledgerOf(budget(1000));
    ledger.settle(ended(granted(ledger.grant(need(4000, { least: 10 }))), "a", 1000, 20));
    for (let i = 0; i < 5; i++) expect(ledger.grant(need(4000, { least: 10 }))).toHaveProperty("grant");
    const { held } = totalOf(ledger);
    expect(held).toBeLessThanOrEqual(980);
    expect(held).toBeGreaterThanOrEqual(5 * 80);
  });

  it("a ledger counts a soft budget and refuses nothing for it", () => {
    const soft: Account = { ...OPEN, budgets: [{ period: "daily", limit_micros_usd: 10, hard: false }] };
    const { ledger } = ledgerOf(soft);
    ledger.settle(ended(granted(ledger.grant(need(500))), "a", 0, 500));
    expect(ledger.grant(need(500))).toHaveProperty("grant");
    expect(ledger.readBalances()[0]).toMatchObject({ period: "daily", spent: 500 });
  });

  it("a ledger refuses a call without a price under a hard budget", () => {
    const { ledger } = ledgerOf(budget(1000));
    expect(ledger.grant(need(0, { isUnpriced: true }))).toMatchObject({ refused: { code: "model.not_allowed" } });
    expect(ledgerOf(OPEN).ledger.grant(need(0, { isUnpriced: true }))).toHaveProperty("grant");
  });

  it("a ledger gives up a grant of an isolate that died, and still accepts reports of its calls", () => {
    const { ledger, clock } = ledgerOf(budget(1000));
    const grant = granted(ledger.grant(need(600)));
    expect(ledger.grant(need(600))).toMatchObject({ wait: true });
    clock.at += 21 * 60_000;
    expect(totalOf(ledger)).toEqual({ spent: 0, held: 0 });
    for (let i = 0; i < 2; i++) ledger.settle(ended(grant, "late", 600, 250));
    expect(totalOf(ledger)).toEqual({ spent: 250, held: 0 });
  });

  it("a ledger takes the rest of a grant back once", () => {
    const { ledger } = ledgerOf(budget(1_000_000));
    const taken = ledger.grant(need(10, { calls: 50 }));
    if (!("grant" in taken)) throw new Error("refused");
    const { id, calls, micros, tokens } = taken.grant;
    expect(calls).toBe(50);
    const rest = { grant: id, calls: calls - 1, micros: micros - 10, tokens };
    ledger.returnUnused(rest);
    ledger.returnUnused(rest);
    expect(totalOf(ledger)).toEqual({ spent: 0, held: 10 });
  });

  it("a ledger counts in the days of its time zone, also when clocks are put back", () => {
    const zurich: Account = { ...budget(100, "daily"), time_zone: "Europe/Zurich" };
    const clock = new Clock();
    // 23:30 on the day on which Switzerland goes back to winter time: 25 hours long.
    clock.at = Date.parse("2026-10-25T22:30:00Z");
    const { ledger } = ledgerOf(zurich, clock);
    ledger.settle(ended(granted(ledger.grant(need(100))), "a", 100, 100));
    expect(ledger.grant(need(1))).toMatchObject({ refused: { retryAfterSeconds: 1800 } });
    clock.at += 1_800_000;
    expect(ledger.grant(need(1))).toHaveProperty("grant");
    expect(ledger.listDays(5).map(({ day }) => day)).toEqual(["2026-10-25"]);
  });
});

/** Isolates, each with a pool of its own, and one account that knows the truth. */
class World {
  readonly clock = new Clock();
  readonly queue: WaitQueue;
  readonly ledger: Ledger;
  readonly calls = { take: 0, report: 0 };
  readonly client: AccountClient;
  readonly services: { client: AccountClient; waitUntil: (work: Promise<unknown>) => void };

  constructor(account: Account) {
    ({ ledger: this.ledger } = ledgerOf(account, this.clock));
    this.queue = new WaitQueue(this.ledger);
    this.client = {
      take: async (name, request, report: UsageReport) => {
        if (parseAccountName(name).id !== "key_a") return { free: this.clock.at + GRANT_MS };
        this.calls.take++;
        this.queue.report(report);
        return await this.queue.take(request);
      },
      report: async (_, report) => {
        this.calls.report++;
        this.queue.report(report);
      },
    };
    this.services = { client: this.client, waitUntil: (work) => void work };
  }

  isolate(): GrantPool {
    return new GrantPool(this.clock.now, this.clock.sleep);
  }
}

const NOTHING = { micros: 0, tokens: 0 };
const PAYERS = { key: "key_a", parents: [], organization: "org_a", tags: [] };

/** mulberry32: the same numbers every time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

describe("isolates with one account", () => {
  it("isolates spend what they were granted without another request to the account", async () => {
    const world = new World(budget(1_000_000_000));
    const pool = world.isolate();
    let answered = 0;
    for (let i = 0; i < 2_000; i++) {
      const before = world.calls.take;
      const { parts } = await pool.reserve(`call_${i}`, PAYERS, { micros: 100, tokens: 10 }, world.services);
      if (world.calls.take === before) answered++;
      pool.settle(`call_${i}`, parts, { micros: 60, tokens: 8 }, world.services);
      await world.clock.pass(10);
    }
    await world.clock.pass(10_000);
    expect(totalOf(world.ledger)).toEqual({ spent: 120_000, held: 0 });
    // Those that asked beside a call are among the others: none had to wait.
    expect(answered / 2_000).toBeGreaterThan(0.95);
  });

  // RHONE_SIMULATED_CALLS=100000 for what issue 6 asks; fewer show the same faults in less time.
  const CALLS = Number(process.env.RHONE_SIMULATED_CALLS ?? 10_000);
  it.each([1, 3])(
    "an account is exact after thousands of calls that fail, leave and lose their isolates (%i)",
    async (seed) => {
      const chance = random(seed);
      // Some of the calls come too late for it.
      const pays = CALLS * 200;
      const world = new World({ ...budget(pays), limits: { concurrency: 500 } });
      const records: Settlement[] = [];
      let isolates = Array.from({ length: 8 }, () => world.isolate());
      let truth = 0;
      let refused = 0;
      const running: { end: number; run: () => void }[] = [];
      for (let i = 0; i < CALLS; i++) {
        const at = Math.floor(chance() * isolates.length);
        const pool = isolates[at]!;
        const call = `call_${i}`;
        const held = 100 + Math.floor(chance() * 900);
        const fate = chance();
        const cost = fate < 0.1 ? 0 : Math.floor(held * chance());
        const made = async (): Promise<void> => {
          const { parts } = await pool.reserve(call, PAYERS, { micros: held, tokens: held }, world.services);
          const took = { micros: cost, tokens: cost };
          running.push({
            end: world.clock.at + Math.floor(chance() * 3_000),
            run: () => {
              truth += cost;
              // Its record comes by the queue whatever becomes of its isolate, at least once.
              for (const { grant, micros, tokens } of parts)
                for (let n = 0; n <= chance() * 2; n++) records.push({ grant, call, held: { micros, tokens }, took });
              if (isolates.includes(pool)) pool.settle(call, parts, took, world.services);
            },
          });
        };
        const reserved = made().catch(() => refused++);
        if (i % 50 === 49) {
          await world.clock.pass(Math.floor(chance() * 400));
          const due = running.filter(({ end }) => end <= world.clock.at);
          for (const one of due) {
            running.splice(running.indexOf(one), 1);
            one.run();
          }
          // An isolate dies with all that it holds.
          if (chance() < 0.05) isolates = isolates.map((one, n) => (n === at ? world.isolate() : one));
          for (const record of records.splice(0, Math.floor(records.length * chance())))
            world.queue.report({ settled: [record], unused: [] });
          expect(totalOf(world.ledger).spent).toBeLessThanOrEqual(pays);
        } else await Promise.race([reserved, settled()]);
      }
      const told = (): void => {
        for (const record of records.splice(0)) world.queue.report({ settled: [record], unused: [] });
      };
      for (let left = 0; left < 20; left++) {
        for (const one of running.splice(0)) one.run();
        told();
        await world.clock.pass(5 * 60_000);
      }
      expect(running).toEqual([]);
      expect(totalOf(world.ledger)).toEqual({ spent: truth, held: 0 });
      expect(truth).toBeLessThanOrEqual(pays);
      expect(truth).toBeGreaterThan(pays * 0.9);
      expect(refused).toBeGreaterThan(CALLS / 20);
    },
    60_000,
  );

  it("isolates serve at least 95 of 1 000 calls at once if the budget pays for 100, and never more than it pays", async () => {
    for (const most of [1, 1.5, 3, 80]) {
      const world = new World(budget(100 * 220));
      const isolates = Array.from({ length: 4 }, () => world.isolate());
      let served = 0;
      let over = 0;
      await Promise.all([
        ...Array.from({ length: 1_000 }, async (_, i) => {
          const pool = isolates[i % 4]!;
          const request = { micros: 220 * most, tokens: 1, ...(most > 10 && { least: 50 }) };
          const reservation = await pool.reserve(`call_${i}`, PAYERS, request, world.services).catch(() => undefined);
          if (reservation === undefined) return;
          await world.clock.sleep(20);
          pool.settle(`call_${i}`, reservation.parts, { micros: 220, tokens: 1 }, world.services);
          served++;
        }),
        (async () => {
          for (let i = 0; i < 1_000; i++) {
            await world.clock.pass(20);
            const { spent, held } = totalOf(world.ledger);
            if (spent + held > 22_000) over++;
          }
        })(),
      ]);
      expect([most, over]).toEqual([most, 0]);
      expect(served, `at ${most} times the cost`).toBeGreaterThanOrEqual(95);
      expect(totalOf(world.ledger).spent).toBe(served * 220);
      expect(served * 220).toBeLessThanOrEqual(22_000);
    }
  });

  it("isolates never pass a limit of requests in any minute, at ten times as many", async () => {
    const R = 300;
    const world = new World({ ...OPEN, limits: { requests_per_minute: R } });
    const isolates = Array.from({ length: 8 }, () => world.isolate());
    const passed: number[] = [];
    const step = 60_000 / (R * 10);
    for (let i = 0; i < R * 10 * 5; i++) {
      const pool = isolates[i % 8]!;
      const call = `call_${i}`;
      const reserved = await pool.reserve(call, PAYERS, NOTHING, world.services).catch(() => undefined);
      if (reserved !== undefined) {
        passed.push(world.clock.at);
        pool.settle(call, reserved.parts, NOTHING, world.services);
      }
      await world.clock.pass(step);
    }
    const most = passed.map((at, i) => passed.findIndex((other) => other > at - 60_000) - i).map((n) => 1 - n);
    expect(Math.max(...most)).toBeLessThanOrEqual(R);
    // And the limit is of use: nine tenths of it pass.
    expect(passed.length).toBeGreaterThan(R * 4.5);
  });
});
