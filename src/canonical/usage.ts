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

/** The kind of token that each other kind is part of. */
const PART_OF = {
  inputAudio: "input",
  cacheRead: "input",
  cacheWrite: "input",
  cacheWrite1h: "cacheWrite",
  reasoning: "output",
  outputAudio: "output",
} as const;

/** A kind of token that may have its own rate. */
type TokenKind = "input" | "output" | keyof typeof PART_OF;

const TOKEN_KINDS = ["input", "output", ...Object.keys(PART_OF)] as readonly TokenKind[];

/**
 * The cost of a call in whole micro-dollars, rounded up so that it is never reported too low. Undefined if the price or a
 * count that it depends on is unknown.
 */
export function computeCostMicros(usage: Usage, price: Price | undefined): number | undefined {
  const input = sumInputTokens(usage);
  const { output, searches = 0 } = usage;
  if (price === undefined || output === undefined || input === undefined) return undefined;
  if (searches > 0 && price.search === undefined) return undefined;
  const counts = countByKind(usage, output, price);
  // Integers throughout: with fractions, a rounding error such as that of 0.1 + 0.2 would add a micro-dollar.
  const total = TOKEN_KINDS.reduce((sum, kind) => sum + counts[kind] * rateAt(input, findRate(kind, price)), 0);
  return Math.ceil(total / 1_000_000) + (price.call ?? 0) + searches * (price.search ?? 0);
}

/** Tokens by kind, each of them once: a part is not counted in its whole. Reasoning is a part only if it has its own rate. */
function countByKind(usage: Usage, output: number, price: Price): Record<TokenKind, number> {
  const { fresh = 0, cacheRead = 0, cacheWrite = 0 } = usage;
  const cacheWrite1h = clampPart(usage.cacheWrite1h, cacheWrite);
  const inputAudio = clampPart(usage.inputAudio, fresh);
  const reasoning = price.reasoning === undefined ? 0 : clampPart(usage.reasoning, output);
  const outputAudio = clampPart(usage.outputAudio, output - reasoning);
  return {
    input: fresh - inputAudio,
    inputAudio,
    cacheRead,
    cacheWrite: cacheWrite - cacheWrite1h,
    cacheWrite1h,
    output: output - reasoning - outputAudio,
    reasoning,
    outputAudio,
  };
}

/** The kind's own rate, or that of the kind it is part of. */
const findRate = (kind: TokenKind, price: Price): Rate =>
  kind === "input" || kind === "output" ? price[kind] : (price[kind] ?? findRate(PART_OF[kind], price));

/** Micro-dollars per million tokens in a call with this much input. */
const rateAt = (input: number, rate: Rate): number =>
  typeof rate === "number" ? rate : (rate.tiers.findLast(({ above }) => input > above)?.rate ?? rate.base);

/** Limits a count to the count that it is part of: providers sometimes report more. */
const clampPart = (tokens: number | undefined, whole: number): number => Math.min(tokens ?? 0, whole);

/** The usage of two calls. What only one has reported is that one's. */
export function sumUsage(one: Usage, other: Usage): Usage {
  const { native: _, ...sum } = one;
  const counts: Record<string, number> = { ...(sum as Record<string, number>) };
  for (const [member, count] of Object.entries(other))
    if (typeof count === "number") counts[member] = (counts[member] ?? 0) + count;
  return counts;
}
