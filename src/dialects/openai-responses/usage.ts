import type { Usage } from "../../canonical/types.ts";
import { sumInputTokens } from "../../canonical/usage.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import { countOf } from "../dialect.ts";
import { toUsage } from "../openai/usage.ts";

/** Cached tokens are part of the input: a larger count of them, as some hosts report it, is limited to the input. */
export function decodeUsage(usage: Json | undefined): Usage {
  if (!isObject(usage)) return {};
  const input = countOf(usage.input_tokens);
  const inputDetails = isObject(usage.input_tokens_details) ? usage.input_tokens_details : {};
  const outputDetails = isObject(usage.output_tokens_details) ? usage.output_tokens_details : {};
  const cached = countOf(inputDetails.cached_tokens);
  const counts = toUsage({
    input,
    output: countOf(usage.output_tokens),
    cacheRead: cached === undefined ? undefined : Math.min(cached, input ?? cached),
    cacheWrite: countOf(inputDetails.cache_write_tokens),
    reasoning: countOf(outputDetails.reasoning_tokens),
    total: countOf(usage.total_tokens),
  });
  return { ...counts, native: usage };
}

/** The details are required members, so an unknown count becomes 0. */
export function encodeUsage(usage: Usage): JsonObject | null {
  const input = sumInputTokens(usage);
  if (input === undefined && usage.output === undefined) return null;
  const { output = 0, cacheRead = 0, cacheWrite, reasoning = 0 } = usage;
  return {
    input_tokens: input ?? 0,
    input_tokens_details: {
      cached_tokens: cacheRead,
      ...(cacheWrite !== undefined && { cache_write_tokens: cacheWrite }),
    },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: (input ?? 0) + output,
  };
}
