import type { Usage } from "./types.ts";

/** All tokens that went in, cached or not; undefined when the provider said nothing of them. */
export function inputTokens(usage: Usage): number | undefined {
  const { fresh, cacheRead, cacheWrite } = usage;
  if (fresh === undefined && cacheRead === undefined && cacheWrite === undefined) return undefined;
  return (fresh ?? 0) + (cacheRead ?? 0) + (cacheWrite ?? 0);
}

/** Micro-dollars per million tokens. `tiers`: the rate for all tokens of a call whose input is larger than `above`. */
export type Rate = number | { base: number; tiers: readonly { above: number; rate: number }[] };

/** What a model costs. A bucket without a rate of its own costs what its parent costs. */
export type Price = {
  input: Rate;
  output: Rate;
  cacheRead?: Rate;
  cacheWrite?: Rate;
  /** Anthropic's cache that holds an hour. */
  cacheWrite1h?: Rate;
  reasoning?: Rate;
  inputAudio?: Rate;
  outputAudio?: Rate;
  /** Micro-dollars for each call, whatever its size, and for each search of the provider's own tool. */
  call?: number;
  search?: number;
};

/** Whole micro-dollars, rounded up: a call is never told cheaper than it was. Undefined when a bucket is unknown. */
export function computeCostMicros(usage: Usage, price: Price | undefined): number | undefined {
  const input = inputTokens(usage);
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
  // Whole numbers throughout: 0.1 + 0.2 dollars would round up to a micro-dollar nobody owes.
  const total = charges.reduce((sum, [tokens, rate]) => sum + tokens * rateOf(rate), 0);
  return Math.ceil(total / 1_000_000) + (price.call ?? 0) + searches * (price.search ?? 0);
}

/** A part is never larger than its whole, whatever a provider counts. */
const clampPart = (tokens: number | undefined, whole: number): number => Math.min(tokens ?? 0, whole);
