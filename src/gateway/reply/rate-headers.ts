import type { Rates } from "../../keys/budget/grant.ts";
import type { Surface } from "../../surfaces/index.ts";

/**
 * The key's rate limits under the header names of Anthropic or OpenAI, which their SDKs read. Anthropic's reset is an
 * ISO 8601 time, OpenAI's a duration in seconds. `now`: Unix milliseconds.
 */
export function toRateHeaders({ dialect }: Pick<Surface, "dialect">, rates: Rates, now: number): [string, string][] {
  return (["requests", "tokens"] as const).flatMap((what): [string, string][] => {
    const rate = rates[what];
    if (rate === undefined) return [];
    const { limit, remaining, resetAt } = rate;
    if (dialect.id === "anthropic")
      return [
        [`anthropic-ratelimit-${what}-limit`, String(limit)],
        [`anthropic-ratelimit-${what}-remaining`, String(remaining)],
        [`anthropic-ratelimit-${what}-reset`, new Date(resetAt).toISOString()],
      ];
    return [
      [`x-ratelimit-limit-${what}`, String(limit)],
      [`x-ratelimit-remaining-${what}`, String(remaining)],
      [`x-ratelimit-reset-${what}`, `${Math.max(0, Math.ceil((resetAt - now) / 1000))}s`],
    ];
  });
}
