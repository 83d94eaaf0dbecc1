import { effortOf, nearestEffort } from "../../canonical/reasoning.ts";
import type { Effort, Reasoning } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringOf, withoutUndefined } from "../../wire/json.ts";

/** `reasoning: {effort, summary}` (API reference, Responses: create). */
export function decodeReasoning(requested: Json | undefined): Reasoning | undefined {
  if (!isObject(requested)) return undefined;
  const reasoning: Reasoning = withoutUndefined({
    effort: decodeEffort(requested.effort),
    summary: stringOf(requested.summary),
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

/** `max` is above the canonical scale and becomes its upper end. */
const decodeEffort = (effort: Json | undefined): Effort | undefined => (effort === "max" ? "xhigh" : effortOf(effort));
