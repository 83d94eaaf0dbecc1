import type { Usage } from "../../canonical/types.ts";
import { costMicros, type Price } from "../../canonical/usage.ts";
import { type PriceList, pricesOf } from "../../providers/prices.ts";
import type { Target } from "../../routing/locate.ts";
import type { Attempt, DiscardedUsage } from "../../store/records.ts";

/** What an attempt that came to nothing had counted by then, and what that cost. `model`: as it named itself, if it did. */
export async function discardedCost(target: Target, usage: Usage, model: string, at: Date): Promise<DiscardedUsage> {
  if (Object.values(usage).every((count) => count === undefined)) return {};
  const cost = costMicros(usage, priceFor(target, model, await pricesOf(target.provider), at));
  return { usage, ...(cost !== undefined && { costMicrosUsd: cost }) };
}

/** The name of what answered says more than an alias does, or the name of somebody's deployment. */
export function priceFor(
  { provider, model }: Target,
  reportedModel: string | undefined,
  prices: PriceList,
  at: Date,
): Price | undefined {
  const reported = reportedModel === undefined || reportedModel === "" ? [] : [reportedModel];
  return prices(provider.pricedAsAsked ? [model, ...reported] : [...reported, model], at);
}

/** Micro-dollars that were spent on nothing, as far as known: no attempt counts that says nothing of itself. */
export const sumDiscarded = (attempts: readonly Attempt[]): number =>
  attempts.reduce((sum, { costMicrosUsd = 0 }) => sum + costMicrosUsd, 0);

/** The same where it is all that was spent on nothing; absent where nothing was counted, or something without its price. */
export function discardedCostMicros(attempts: readonly Attempt[]): number | undefined {
  const counted = attempts.filter(({ usage }) => usage !== undefined);
  const isKnown = counted.length > 0 && counted.every(({ costMicrosUsd }) => costMicrosUsd !== undefined);
  return isKnown ? sumDiscarded(counted) : undefined;
}
