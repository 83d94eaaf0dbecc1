import { costMicros, inputTokens, type Price } from "../../canonical/usage.ts";
import type { Usage } from "../../canonical/types.ts";
import type { Hold, Reservation, Estimate } from "../../keys/budget/grant-pool.ts";
import type { CallRecord } from "../../store/records.ts";
/** Who is charged: a key, and the keys that made it. */
type Payer = { org: string; keyId: string; payers?: readonly string[] };

/** Sets money and rates aside before a call and settles them after it, with the accounts of its key. */
export type Budgets = {
  /**
   * `call`: its id. `wanted` is worked out only where somebody counts; undefined where nobody does. Throws
   * `budget.exceeded`, `rate.limited`, or `auth.*` when the key is no more.
   */
  reserve: (
    call: string,
    caller: Payer,
    tags: readonly string[],
    estimate: () => Promise<Estimate>,
  ) => Promise<Reservation | undefined>;
  /** To be called when the call's record is durable, or cannot be made so. */
  settle: (record: Pick<CallRecord, "id" | "charge">) => void;
};

/** What a call was charged: in its record, so that its accounts hear of it even when the isolate that made it is gone. */
export type Charge = NonNullable<CallRecord["charge"]>;

/** Tokens for a text that nobody counted: rather too few than too many, as no budget may be charged for what was not said. */
const BYTES_PER_TOKEN = 4;

/**
 * What is charged for a call: its cost where that is known, and what was wasted on its way. Where a provider did not say
 * what it counted (a stream that broke off), what went in and what was heard of the answer stand for it; a call of which
 * nothing was heard costs nothing.
 */
export function computeCharge(
  parts: Hold[],
  facts: {
    cost: number | undefined;
    usage: Usage;
    price: Price | undefined;
    sent: number;
    heard: number;
    wasted: number;
  },
): Charge {
  const { cost, usage, price, sent, heard, wasted } = facts;
  const estimated: Usage = {
    ...(inputTokens(usage) === undefined && { fresh: Math.ceil(sent / BYTES_PER_TOKEN) }),
    ...(usage.output === undefined && { output: Math.ceil(heard / BYTES_PER_TOKEN) }),
  };
  const counted = heard === 0 ? usage : { ...usage, ...estimated };
  const tokens = (inputTokens(counted) ?? 0) + (counted.output ?? 0);
  return { parts, micros: wasted + (cost ?? costMicros(counted, price) ?? 0), tokens };
}
