import type { Usage } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, withoutUndefined } from "../../wire/json.ts";
import { countOf } from "../dialect.ts";

/**
 * `input_tokens` exclude cached tokens (Anthropic API, "Prompt caching"), as canonical counts do. Tokens
 * written to the one-hour cache are part of `cache_creation_input_tokens`, and priced apart.
 */
export function decodeUsage(usage: Json | undefined): Usage {
  if (!isObject(usage)) return {};
  const details = isObject(usage.output_tokens_details) ? usage.output_tokens_details : {};
  const tools = isObject(usage.server_tool_use) ? usage.server_tool_use : {};
  const written = isObject(usage.cache_creation) ? usage.cache_creation : {};
  return withoutUndefined({
    fresh: countOf(usage.input_tokens),
    cacheRead: countOf(usage.cache_read_input_tokens),
    cacheWrite: countOf(usage.cache_creation_input_tokens),
    output: countOf(usage.output_tokens),
    reasoning: countOf(details.thinking_tokens),
    cacheWrite1h: countOf(written.ephemeral_1h_input_tokens),
    searches: countOf(tools.web_search_requests),
    native: usage,
  });
}

/** Both sums are required members of the SDKs, so an unknown one becomes 0. */
export function encodeUsage({ native, ...usage }: Usage, isOwn: boolean): JsonObject {
  const { fresh, cacheRead, cacheWrite, cacheWrite1h, output, reasoning, searches } = usage;
  const fiveMinutes = Math.max(0, (cacheWrite ?? 0) - (cacheWrite1h ?? 0));
  return {
    ...(isOwn && isObject(native) && native),
    input_tokens: fresh ?? 0,
    ...(cacheWrite !== undefined && { cache_creation_input_tokens: cacheWrite }),
    ...(cacheRead !== undefined && { cache_read_input_tokens: cacheRead }),
    ...(cacheWrite1h !== undefined && {
      cache_creation: { ephemeral_5m_input_tokens: fiveMinutes, ephemeral_1h_input_tokens: cacheWrite1h },
    }),
    output_tokens: output ?? 0,
    ...(searches !== undefined && !isOwn && { server_tool_use: { web_search_requests: searches } }),
    ...(reasoning !== undefined && { output_tokens_details: { thinking_tokens: reasoning } }),
  };
}
