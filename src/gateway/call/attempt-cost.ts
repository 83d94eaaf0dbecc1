import type { Usage } from "../../canonical/types.ts";
import { computeCostMicros, type Price } from "../../canonical/usage.ts";
import { loadPrices, type PriceList } from "../../providers/prices.ts";
import type { Target } from "../../routing/locate.ts";
import type { Attempt, DiscardedUsage } from "../../store/records.ts";

/**
 * Usage and cost of an attempt whose output was discarded; empty if it reported no usage. `model`: the model's name in
 * the answer, or "".
 */
export async function priceDiscarded(target: Target, usage: Usage, model: string, at: Date): Promise<DiscardedUsage> {
  if (Object.values(usage).every((count) => count === undefined)) return {};
  const cost = computeCostMicros(usage, priceFor(target, model, await loadPrices(target.provider), at));
  return { usage, ...(cost !== undefined && { costMicrosUsd: cost }) };
}

/**
 * The price of a model. The name in the answer is preferred, as the requested one may be an alias or a deployment's
 * name; providers with `pricedByRequestedName` bill by the requested name.
 */
export function priceFor(
  { provider, model }: Target,
  reportedModel: string | undefined,
  prices: PriceList,
  at: Date,
): Price | undefined {
  const reported = reportedModel === undefined || reportedModel === "" ? [] : [reportedModel];
  return prices(provider.pricedByRequestedName ? [model, ...reported] : [...reported, model], at);
}

/**
 * Sum of the known costs of attempts whose output was discarded, in micro-dollars. Attempts without a reported cost
 * count as zero.
 */
export const sumDiscarded = (attempts: readonly Attempt[]): number =>
  attempts.reduce((sum, { costMicrosUsd = 0 }) => sum + costMicrosUsd, 0);

/** The same sum, if it is exact. Undefined if no attempt reported usage, or one of them has no known price. */
export function discardedCostMicros(attempts: readonly Attempt[]): number | undefined {
  const counted = attempts.filter(({ usage }) => usage !== undefined);
  const isKnown = counted.length > 0 && counted.every(({ costMicrosUsd }) => costMicrosUsd !== undefined);
  return isKnown ? sumDiscarded(counted) : undefined;
}
