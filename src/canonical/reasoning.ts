import type { Effort } from "./types.ts";

/**
 * An effort as a share of the output limit. Used to convert between dialects that limit reasoning by a token budget
 * (Anthropic, Gemini) and those that name an effort (OpenAI).
 */
const SHARE: Record<Effort, number> = { none: 0, minimal: 0.1, low: 0.2, medium: 0.5, high: 0.8, xhigh: 0.95 };

/** Output limit assumed for a request without one. Tokens. */
const DEFAULT_LIMIT = 32_768;

/** The names of efforts in all APIs. `max` is above the canonical scale and becomes its upper end. */
export const EFFORT_NAMES: readonly string[] = [...Object.keys(SHARE), "max"];

/** The effort of that name; undefined for any other value. */
export const effortOf = (value: unknown): Effort | undefined =>
  value === "max" ? "xhigh" : typeof value === "string" && Object.hasOwn(SHARE, value) ? (value as Effort) : undefined;

/** Effort → budget in tokens. */
export const budgetOf = (effort: Effort, maxOutput = DEFAULT_LIMIT): number => Math.round(SHARE[effort] * maxOutput);

/** Budget in tokens → the smallest effort whose budget is at least as large. Inverse of `budgetOf`. */
export function nearestEffort(budget: number, maxOutput = DEFAULT_LIMIT): Effort {
  const efforts = Object.keys(SHARE) as Effort[];
  return efforts.find((effort) => budget <= budgetOf(effort, maxOutput)) ?? "xhigh";
}
