import type { Usage } from "../../canonical/types.ts";
import { computeCostMicros, sumInputTokens, type Price } from "../../canonical/usage.ts";
import type { Estimate, Hold, Reservation } from "../../keys/budget/grant-pool.ts";
import type { CallRecord } from "../../store/records.ts";

/** Who is charged: a key and, in `payers`, the keys it was derived from. */
type Payer = { org: string; keyId: string; payers?: readonly string[] };

/** Reserves money and rate before a call and settles them after it, for all accounts of the call's key. */
export type Budgets = {
  /**
   * `call`: its id. `estimate` is computed only if an account has a limit; without one the result is undefined. Throws
   * `budget.exceeded`, `rate.limited`, or `auth.*` if the key is no longer valid.
   */
  reserve: (
    call: string,
    caller: Payer,
    tags: readonly string[],
    estimate: () => Promise<Estimate>,
  ) => Promise<Reservation | undefined>;
  /** Called when the call's record is durable, or cannot be made durable. */
  settle: (record: Pick<CallRecord, "id" | "charge">) => void;
};

/**
 * What a call was charged. It is part of the record, so that accounts can be settled after the isolate that made the
 * call has died.
 */
type Charge = NonNullable<CallRecord["charge"]>;

/**
 * Bytes a token where usage is unknown. The estimate is low rather than high: no budget is charged for missing output.
 */
const BYTES_PER_TOKEN = 4;

/**
 * Computes what a call is charged: its cost if known, plus the cost of discarded attempts. Usage that the provider did
 * not report (its stream broke) is estimated from the bytes sent and the characters received; a call without any output
 * received is charged only for reported usage.
 *
 * `micros` is in micro-dollars.
 */
export function computeCharge(
  parts: Hold[],
  facts: {
    cost: number | undefined;
    usage: Usage;
    price: Price | undefined;
    sentBytes: number;
    receivedChars: number;
    discardedMicros: number;
  },
): Charge {
  const { cost, usage, price, sentBytes, receivedChars, discardedMicros } = facts;
  const estimated: Usage = {
    ...(sumInputTokens(usage) === undefined && { fresh: Math.ceil(sentBytes / BYTES_PER_TOKEN) }),
    ...(usage.output === undefined && { output: Math.ceil(receivedChars / BYTES_PER_TOKEN) }),
  };
  const counted = receivedChars === 0 ? usage : { ...usage, ...estimated };
  const tokens = (sumInputTokens(counted) ?? 0) + (counted.output ?? 0);
  return { parts, micros: discardedMicros + (cost ?? computeCostMicros(counted, price) ?? 0), tokens };
}
