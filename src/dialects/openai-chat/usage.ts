import type { Usage } from "../../canonical/types.ts";
import { sumInputTokens } from "../../canonical/usage.ts";
import { isObject, type Json, type JsonObject, withoutUndefined } from "../../wire/json.ts";
import { countOf } from "../dialect.ts";
import { toUsage } from "../openai/usage.ts";

/** `prompt_cache_hit_tokens` is DeepSeek's name for cached tokens; other hosts have them at the top level. */
export function decodeUsage(usage: Json | undefined): Usage {
  if (!isObject(usage)) return {};
  const prompt = countOf(usage.prompt_tokens);
  const promptDetails = isObject(usage.prompt_tokens_details) ? usage.prompt_tokens_details : {};
  const completionDetails = isObject(usage.completion_tokens_details) ? usage.completion_tokens_details : {};
  const cached =
    countOf(promptDetails.cached_tokens) ?? countOf(usage.prompt_cache_hit_tokens) ?? countOf(usage.cached_tokens);
  return {
    ...toUsage({
      input: prompt,
      output: countOf(usage.completion_tokens),
      // Grok on Azure reports more cached tokens than prompt tokens; such a count is no part of the prompt.
      cacheRead: cached !== undefined && cached > (prompt ?? cached) ? undefined : cached,
      cacheWrite: countOf(promptDetails.cache_write_tokens) ?? countOf(promptDetails.cache_creation_tokens),
      reasoning: countOf(completionDetails.reasoning_tokens) ?? countOf(usage.reasoning_tokens),
      total: countOf(usage.total_tokens),
    }),
    ...withoutUndefined({
      inputAudio: countOf(promptDetails.audio_tokens),
      outputAudio: countOf(completionDetails.audio_tokens),
    }),
    native: usage,
  };
}

/**
 * Inverse of `decodeUsage`. The three sums are required members; details are sent only where they are known.
 */
export function encodeUsage(usage: Usage): JsonObject | undefined {
  const prompt = sumInputTokens(usage);
  if (prompt === undefined && usage.output === undefined) return undefined;
  const { cacheRead, cacheWrite, reasoning, inputAudio, outputAudio } = usage;
  const inputDetails = withoutUndefined({
    cached_tokens: cacheRead,
    cache_write_tokens: cacheWrite,
    audio_tokens: inputAudio,
  });
  const outputDetails = withoutUndefined({ reasoning_tokens: reasoning, audio_tokens: outputAudio });
  return {
    prompt_tokens: prompt ?? 0,
    completion_tokens: usage.output ?? 0,
    total_tokens: (prompt ?? 0) + (usage.output ?? 0),
    ...(Object.keys(inputDetails).length > 0 && { prompt_tokens_details: inputDetails }),
    ...(Object.keys(outputDetails).length > 0 && { completion_tokens_details: outputDetails }),
  };
}
