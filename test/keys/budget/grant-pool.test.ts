import { describe, expect, it } from "vitest";
import { parseAccountName } from "../../../src/keys/budget/account-name.ts";
import type { Account } from "../../../src/keys/budget/account.ts";
import { GrantPool, type AccountClient } from "../../../src/keys/budget/grant-pool.ts";
import type { Settlement } from "../../../src/keys/budget/grant.ts";
import { GRANT_MS, Ledger } from "../../../src/keys/budget/ledger.ts";
import { type UsageReport, WaitQueue } from "../../../src/keys/budget/wait-queue.ts";
import { budget, Clock, ledgerOf, OPEN, settled, totalOf } from "../../support/ledger.ts";

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
