import type { Usage } from "./types.ts";

/** Input tokens, cached or not; undefined if the provider reported none of the counts. */
export function sumInputTokens(usage: Usage): number | undefined {
  const { fresh, cacheRead, cacheWrite } = usage;
  if (fresh === undefined && cacheRead === undefined && cacheWrite === undefined) return undefined;
  return (fresh ?? 0) + (cacheRead ?? 0) + (cacheWrite ?? 0);
}

/** Micro-dollars per million tokens. `tiers`: the rate for all tokens of a call whose input is larger than `above`. */
export type Rate = number | { base: number; tiers: readonly { above: number; rate: number }[] };

/** The price of a model. A kind of token without its own rate has the rate of the kind that it is part of. */
export type Price = {
  input: Rate;
  output: Rate;
  cacheRead?: Rate;
  cacheWrite?: Rate;
  /** Writes to Anthropic's cache with a lifetime of one hour. */
  cacheWrite1h?: Rate;
  reasoning?: Rate;
  inputAudio?: Rate;
  outputAudio?: Rate;
  /** Micro-dollars per call, independent of its size, and per search of the provider's own tool. */
  call?: number;
  search?: number;
};

/**
 * The cost of a call in whole micro-dollars, rounded up so that it is never reported too low. Undefined if the price or a
 * count that it depends on is unknown.
 */
export function computeCostMicros(usage: Usage, price: Price | undefined): number | undefined {
  const input = sumInputTokens(usage);
  if (price === undefined || usage.output === undefined || input === undefined) return undefined;
  const { fresh = 0, cacheRead = 0, cacheWrite = 0, output, searches = 0 } = usage;
  if (searches > 0 && price.search === undefined) return undefined;
  const hourly = clampPart(usage.cacheWrite1h, cacheWrite);
  const audioInput = clampPart(usage.inputAudio, fresh);
  const reasoning = price.reasoning === undefined ? 0 : clampPart(usage.reasoning, output);
  const audioOutput = clampPart(usage.outputAudio, output - reasoning);
  const rateOf = (rate: Rate): number =>
    typeof rate === "number" ? rate : (rate.tiers.findLast(({ above }) => input > above)?.rate ?? rate.base);
  const charges: [tokens: number, rate: Rate][] = [
    [fresh - audioInput, price.input],
    [audioInput, price.inputAudio ?? price.input],
    [cacheRead, price.cacheRead ?? price.input],
    [cacheWrite - hourly, price.cacheWrite ?? price.input],
    [hourly, price.cacheWrite1h ?? price.cacheWrite ?? price.input],
    [output - reasoning - audioOutput, price.output],
    [reasoning, price.reasoning ?? price.output],
    [audioOutput, price.outputAudio ?? price.output],
  ];
  // Integers throughout: with fractions, a rounding error such as that of 0.1 + 0.2 would add a micro-dollar.
  const total = charges.reduce((sum, [tokens, rate]) => sum + tokens * rateOf(rate), 0);
  return Math.ceil(total / 1_000_000) + (price.call ?? 0) + searches * (price.search ?? 0);
}

/** Limits a count to the count that it is part of: providers sometimes report more. */
const clampPart = (tokens: number | undefined, whole: number): number => Math.min(tokens ?? 0, whole);
