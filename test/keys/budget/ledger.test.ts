import { describe, expect, it } from "vitest";
import type { Account } from "../../../src/keys/budget/account.ts";
import type { GrantRequest, Settlement, GrantResult } from "../../../src/keys/budget/grant.ts";
import { budget, Clock, ledgerOf, OPEN, totalOf } from "../../support/ledger.ts";

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
