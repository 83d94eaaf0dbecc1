import type { Usage } from "../../canonical/types.ts";
import { sumInputTokens } from "../../canonical/usage.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import { countOf } from "../dialect.ts";

/**
 * `input_tokens` include cached tokens. `output_tokens` include reasoning tokens at OpenAI, but not at every
 * host: where `total_tokens` is the sum of all three, they are added.
 */
export function decodeUsage(usage: Json | undefined): Usage {
  if (!isObject(usage)) return {};
  const input = countOf(usage.input_tokens);
  const output = countOf(usage.output_tokens);
  const inputDetails = isObject(usage.input_tokens_details) ? usage.input_tokens_details : {};
  const outputDetails = isObject(usage.output_tokens_details) ? usage.output_tokens_details : {};
  const cached = countOf(inputDetails.cached_tokens);
  const cacheRead = cached === undefined ? undefined : Math.min(cached, input ?? cached);
  const cacheWrite = countOf(inputDetails.cache_write_tokens);
  const reasoning = countOf(outputDetails.reasoning_tokens);
  const excludesReasoning =
    reasoning !== undefined && countOf(usage.total_tokens) === (input ?? 0) + (output ?? 0) + reasoning;
  return {
    ...(input !== undefined && { fresh: Math.max(0, input - (cacheRead ?? 0) - (cacheWrite ?? 0)) }),
    ...(cacheRead !== undefined && { cacheRead }),
    ...(cacheWrite !== undefined && { cacheWrite }),
    ...(output !== undefined && { output: excludesReasoning ? output + reasoning : output }),
    ...(reasoning !== undefined && { reasoning }),
    native: usage,
  };
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
