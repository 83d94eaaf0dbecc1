import type { Usage } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, withoutUndefined } from "../../wire/json.ts";
import { countOf } from "../dialect.ts";

/** Counts of the wire are the canonical ones in snake case. */
export function decodeUsage(usage: Json | undefined): Usage {
  if (!isObject(usage)) return {};
  return withoutUndefined({
    fresh: countOf(usage.fresh),
    cacheRead: countOf(usage.cache_read),
    cacheWrite: countOf(usage.cache_write),
    output: countOf(usage.output),
    reasoning: countOf(usage.reasoning),
    inputAudio: countOf(usage.input_audio),
    outputAudio: countOf(usage.output_audio),
    cacheWrite1h: countOf(usage.cache_write_1h),
    searches: countOf(usage.searches),
    native: usage,
  });
}

/**
 * Token counts as everywhere in the API: disjoint, absent if unknown, with the usage object of the provider.
 */
export function encodeUsage(usage: Usage): JsonObject {
  return withoutUndefined({
    fresh: usage.fresh,
    cache_read: usage.cacheRead,
    cache_write: usage.cacheWrite,
    output: usage.output,
    reasoning: usage.reasoning,
    input_audio: usage.inputAudio,
    output_audio: usage.outputAudio,
    cache_write_1h: usage.cacheWrite1h,
    searches: usage.searches,
    native: usage.native,
  });
}
