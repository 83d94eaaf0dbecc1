import fc from "fast-check";
import { expect, it } from "vitest";
import { type Account } from "../../../src/keys/budget/account.ts";
import type { Settlement } from "../../../src/keys/budget/grant.ts";
import { Clock, ledgerOf, OPEN } from "../../support/ledger.ts";

const LIMITED: Account = {
  ...OPEN,
  budgets: [{ period: "total", limit_micros_usd: 1_000_000, hard: true }],
  limits: { requests_per_minute: 10_000, tokens_per_minute: 1_000_000 },
};

/** A report of calls: of which grant, under which name, what was reserved and used. Names repeat. */
const settlement = fc.record({
  grant: fc.nat(4),
  call: fc.nat(12),
  held: fc.nat(500),
  took: fc.nat(900),
  tokens: fc.nat(50),
});

const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ settle: fc.array(settlement, { maxLength: 8 }) }) },
  { weight: 1, arbitrary: fc.record({ pass: fc.constantFrom(1_000, 40_000, 30 * 60_000) }) },
);

it("calls that are settled together count as those that are settled one by one", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(1, 2, 5), { minLength: 1, maxLength: 5 }),
      fc.array(action, { maxLength: 12 }),
      async (sizes, actions) => {
        const clock = new Clock();
        const [together, alone] = [ledgerOf(LIMITED, clock), ledgerOf(LIMITED, clock)];
        const grants = sizes.map((calls) =>
          [together, alone].map(({ ledger }) => {
            const taken = ledger.grant({ micros: 500 * calls, tokens: 10, calls });
            return "refused" in taken ? "none" : taken.grant.id;
          }),
        );
        for (const one of actions) {
          if ("pass" in one) await clock.pass(one.pass);
          else {
            const of = (at: 0 | 1): Settlement[] =>
              one.settle.map(({ grant, call, held, took, tokens }) => ({
                grant: grants[grant % grants.length]![at]!,
                call: `call_${call}`,
                held: { micros: held, tokens: 10 },
                took: { micros: took, tokens },
              }));
            together.ledger.settle(...of(0));
            for (const single of of(1)) alone.ledger.settle(single);
          }
          expect(together.ledger.readBalances()).toEqual(alone.ledger.readBalances());
          expect(together.ledger.listDays(9)).toEqual(alone.ledger.listDays(9));
          const largest = "SELECT micros FROM largest";
          expect(together.sql(largest)).toEqual(alone.sql(largest));
          const next = { micros: 1, tokens: 1, calls: 50 };
          const [a, b] = [together.ledger.grant(next), alone.ledger.grant(next)];
          expect({ ...a, grant: undefined, rates: "grant" in a && a.grant.rates }).toEqual({
            ...b,
            grant: undefined,
            rates: "grant" in b && b.grant.rates,
          });
          expect("grant" in a && [a.grant.calls, a.grant.micros]).toEqual(
            "grant" in b && [b.grant.calls, b.grant.micros],
          );
        }
      },
    ),
    { numRuns: 300 },
  );
});
