import type { Usage } from "../../canonical/types.ts";

/** What a usage object of either wire counts. `input` includes the cached tokens; `total` is the sum that it reports. */
type TokenCounts = Record<"input" | "output" | "cacheRead" | "cacheWrite" | "reasoning" | "total", number | undefined>;

/**
 * The counts as canonical ones, in which no token is counted twice. `output` includes reasoning tokens at OpenAI, but not
 * at every host: where `total` is the sum of all three, they are added.
 */
export function toUsage({ input, output, cacheRead, cacheWrite, reasoning, total }: TokenCounts): Usage {
  const excludesReasoning = reasoning !== undefined && total === (input ?? 0) + (output ?? 0) + reasoning;
  return {
    ...(input !== undefined && { fresh: Math.max(0, input - (cacheRead ?? 0) - (cacheWrite ?? 0)) }),
    ...(cacheRead !== undefined && { cacheRead }),
    ...(cacheWrite !== undefined && { cacheWrite }),
    ...(output !== undefined && { output: excludesReasoning ? output + reasoning : output }),
    ...(reasoning !== undefined && { reasoning }),
  };
}
