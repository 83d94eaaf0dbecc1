import { budgetOf, effortOf, nearestEffort } from "../../canonical/reasoning.ts";
import type { Effort, Loss, ModelRequest, Reasoning } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, numberOf, stringifyMember, withoutUndefined } from "../../wire/json.ts";

/** Output tokens when the caller sets no limit: the wire demands one. */
const DEFAULT_LIMIT = 4_096;
/** The same while thinking, whose tokens count too: the most that every thinking Claude takes (Opus 4 has 32 000). */
const THINKING_LIMIT = 32_000;
/** "budget_tokens: Input should be greater than or equal to 1024", and less than `max_tokens`. */
const MIN_BUDGET = 1_024;

/** Adaptive without an effort is the provider's own measure: an empty wish. */
export function decodeReasoning(body: JsonObject): Reasoning | undefined {
  const thinking = isObject(body.thinking) ? body.thinking : {};
  const config = isObject(body.output_config) ? body.output_config : {};
  const effort = config.effort === "max" ? "xhigh" : effortOf(config.effort);
  if (thinking.type === "disabled") return { effort: "none" };
  const isRequested = thinking.type === "enabled" || thinking.type === "adaptive";
  if (!isRequested) return effort === undefined ? undefined : { effort };
  // Models that know `adaptive` leave the words out unless asked; with a budget they come unless declined.
  const isShown = thinking.display === "summarized" || (thinking.type === "enabled" && thinking.display !== "omitted");
  return withoutUndefined({ effort, budget: numberOf(thinking.budget_tokens), summary: isShown ? "auto" : undefined });
}

/** `effort` goes to `output_config`; `thinks`: the API's limits for thinking requests hold. */
export type ThinkingMembers = { thinking?: JsonObject; effort?: string; maxTokens: number; thinks: boolean };

/** `hindrance`: why this request may not think; undefined when it may. */
export function encodeReasoning(
  { reasoning, maxOutput }: ModelRequest,
  version: number | undefined,
  losses: Loss[],
  blocker: string | undefined,
): ThinkingMembers {
  const withoutThinking = { maxTokens: maxOutput ?? DEFAULT_LIMIT, thinks: false };
  if (reasoning === undefined) return withoutThinking;
  const canThink = version === undefined || version >= 307;
  if (reasoning.effort === "none")
    return canThink ? { ...withoutThinking, thinking: { type: "disabled" } } : withoutThinking;
  const why = canThink ? blocker : "this model does not think";
  if (why !== undefined) losses.push({ at: "reasoning", what: "dropped", why });
  if (version !== undefined && version >= 406) return encodeAdaptive(reasoning, maxOutput, version, why === undefined);
  return why === undefined ? encodeBudgeted(reasoning, maxOutput, losses) : withoutThinking;
}

function encodeAdaptive(
  reasoning: Reasoning,
  maxOutput: number | undefined,
  version: number,
  thinks: boolean,
): ThinkingMembers {
  const { budget, summary } = reasoning;
  const effort = reasoning.effort ?? (budget === undefined ? undefined : nearestEffort(budget, maxOutput));
  return {
    ...(thinks && { thinking: { type: "adaptive", ...(summary !== undefined && { display: "summarized" }) } }),
    ...(effort !== undefined && { effort: encodeEffort(effort, version) }),
    maxTokens: maxOutput ?? (thinks ? THINKING_LIMIT : DEFAULT_LIMIT),
    thinks,
  };
}

/** A limit that leaves no room behind the smallest budget is raised: an answer without thinking would be another wish. */
function encodeBudgeted({ effort, budget }: Reasoning, maxOutput: number | undefined, losses: Loss[]): ThinkingMembers {
  const requested = budget ?? budgetOf(effort ?? "medium", maxOutput ?? THINKING_LIMIT);
  const tokens = Math.max(MIN_BUDGET, requested);
  const limit = maxOutput ?? Math.max(THINKING_LIMIT, tokens + DEFAULT_LIMIT);
  const raised = limit > tokens ? limit : limit + tokens;
  if (raised > limit)
    losses.push({ at: "max_tokens", what: "approximated", why: "anthropic wants a limit above the thinking budget" });
  return { thinking: { type: "enabled", budget_tokens: tokens }, maxTokens: raised, thinks: true };
}

/** `minimal` is not known here; `xhigh` came with 4.7, before it the word was `max`. */
function encodeEffort(effort: Effort, version: number): string {
  if (effort === "minimal") return "low";
  return effort === "xhigh" && version < 407 ? "max" : effort;
}

/**
 * 405 for `claude-sonnet-4-5-20250929`, 307 for `claude-3-7-sonnet-latest`; undefined where the name tells none.
 * From 406 on thinking is adaptive, from 407 on a budget is a 400 ("thinking.type.enabled" is not supported for this model),
 * and so is `temperature` (inspect_ai#3721). Other makers' models behind this wire know budgets.
 */
export function modelVersion(model: string): number | undefined {
  const found = /claude-(?:[a-z]+-)?(\d)(?:[-.](\d{1,2})(?!\d))?/.exec(model);
  return found === null ? undefined : Number(found[1]) * 100 + Number(found[2] ?? 0);
}

/**
 * "a final `assistant` message must start with a thinking block" in a tool loop that thinks by budget: a loop begun
 * elsewhere, or by an issuer whose signatures are gone, cannot.
 */
export function isUnsignedLoop(messages: readonly Json[]): boolean {
  const objects = messages.filter(isObject);
  if (!objects.at(-1) || !hasBlock(objects.at(-1)!, RESULT_TYPES)) return false;
  const loopStart =
    objects.findLastIndex((message) => message.role !== "assistant" && !hasBlock(message, RESULT_TYPES)) + 1;
  const first = objects.slice(loopStart).find(({ role }) => role === "assistant");
  const [block] = Array.isArray(first?.content) ? first.content : [];
  return !isObject(block) || !THINKING_TYPES.has(stringifyMember(block.type));
}

const RESULT_TYPES = new Set(["tool_result"]);
const THINKING_TYPES = new Set(["thinking", "redacted_thinking"]);
const hasBlock = ({ content }: JsonObject, types: ReadonlySet<string>): boolean =>
  Array.isArray(content) && content.some((block) => isObject(block) && types.has(stringifyMember(block.type)));
