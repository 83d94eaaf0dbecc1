import type { Effort } from "./types.ts";

/** Shares of the output limit that stand for an effort, where one side has budgets and the other words. */
const SHARE: Record<Effort, number> = { none: 0, minimal: 0.1, low: 0.2, medium: 0.5, high: 0.8, xhigh: 0.95 };

/** What a share is taken of when a request sets no limit. */
const DEFAULT_LIMIT = 32_768;

export const effortOf = (value: unknown): Effort | undefined =>
  typeof value === "string" && value in SHARE ? (value as Effort) : undefined;

/** Tokens for an effort. */
export const budgetOf = (effort: Effort, maxOutput = DEFAULT_LIMIT): number => Math.round(SHARE[effort] * maxOutput);

/** The smallest effort whose share holds the budget; inverse of `budgetOf`. */
export function nearestEffort(budget: number, maxOutput = DEFAULT_LIMIT): Effort {
  const efforts = Object.keys(SHARE) as Effort[];
  return efforts.find((effort) => budget <= budgetOf(effort, maxOutput)) ?? "xhigh";
}
