import type { Json } from "../wire/json.ts";

/**
 * How many alternatives are requested beside each token's own log probability, from the two members that say so;
 * `undefined` if no log probabilities are requested. APIs refuse a number without the flag;
 * hosts of their formats take it alone, or in its place.
 */
export function requestedLogprobs(flag: Json | undefined, alternatives: number | undefined): number | undefined {
  if (flag === true) return alternatives ?? 0;
  if (typeof flag === "number") return flag;
  return flag === false || alternatives === 0 ? undefined : alternatives;
}
