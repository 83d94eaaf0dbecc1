import { effortOf, nearestEffort } from "../../canonical/reasoning.ts";
import type { Reasoning } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringOf, withoutUndefined } from "../../wire/json.ts";

/** `reasoning: {effort, summary}` (API reference, Responses: create). */
export function decodeReasoning(requested: Json | undefined): Reasoning | undefined {
  if (!isObject(requested)) return undefined;
  const reasoning: Reasoning = withoutUndefined({
    effort: effortOf(requested.effort),
    // The name in the first version of the API.
    summary: stringOf(requested.summary) ?? stringOf(requested.generate_summary),
  });
  return Object.keys(reasoning).length > 0 ? reasoning : undefined;
}

/** A summary mode that this wire does not have becomes `auto`. */
export function encodeReasoning({ effort, budget, summary }: Reasoning, maxOutput: number | undefined): JsonObject {
  const requested = effort ?? (budget === undefined ? undefined : nearestEffort(budget, maxOutput));
  const level = summary === undefined ? undefined : SUMMARIES.has(summary) ? summary : "auto";
  if (requested === undefined && level === undefined) return {};
  return {
    reasoning: {
      ...(requested !== undefined && { effort: requested }),
      ...(level !== undefined && { summary: level }),
    },
  };
}

/** Values of `reasoning.summary`. */
const SUMMARIES = new Set(["auto", "concise", "detailed"]);
