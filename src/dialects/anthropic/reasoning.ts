import { budgetOf, effortOf, nearestEffort } from "../../canonical/reasoning.ts";
import type { Effort, Loss, ModelRequest, Reasoning } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, numberOf, stringifyMember, withoutUndefined } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";

/**
 * Output tokens for a model without a known maximum if the caller sets no limit: the API requires one. It is the maximum
 * of Opus 4, the lowest of the models that think. Earlier models accept less.
 */
const DEFAULT_LIMIT = 32_000;
const EARLY_LIMIT = 4_096;
/**
 * Tokens. "budget_tokens: Input should be greater than or equal to 1024", and less than `max_tokens`.
 */
const MIN_BUDGET = 1_024;

/** Adaptive thinking without an effort leaves the amount to the provider: reasoning without members. */
export function decodeReasoning(body: JsonObject): Reasoning | undefined {
  const thinking = isObject(body.thinking) ? body.thinking : {};
  const config = isObject(body.output_config) ? body.output_config : {};
  const effort = effortOf(config.effort);
  if (thinking.type === "disabled") return { effort: "none" };
  const isRequested = thinking.type === "enabled" || thinking.type === "adaptive";
  if (!isRequested) return effort === undefined ? undefined : { effort };
  // Adaptive thinking returns its text only on request; thinking with a budget returns it unless it is omitted.
  const isShown = thinking.display === "summarized" || (thinking.type === "enabled" && thinking.display !== "omitted");
  return withoutUndefined({ effort, budget: numberOf(thinking.budget_tokens), summary: isShown ? "auto" : undefined });
}

/** `effort` belongs to `output_config`. `thinks`: the limits of the API for thinking requests apply. */
type ThinkingMembers = { thinking?: JsonObject; effort?: string; maxTokens: number; thinks: boolean };

/**
 * `blocker`: the reason why the request cannot think; `undefined` if it can. Losses: thinking, with that reason, and the
 * output limit that the API requires if neither the caller nor the catalogue has one.
 */
export function encodeReasoning(
  { reasoning, maxOutput }: ModelRequest,
  target: EncodeTarget,
  losses: Loss[],
  blocker: string | undefined,
): ThinkingMembers {
  const version = modelVersion(target.model);
  const limit = maxOutput ?? defaultLimit(target, version, losses);
  const withoutThinking = { maxTokens: limit, thinks: false };
  if (reasoning === undefined) return withoutThinking;
  const canThink = version === undefined || version >= 307;
  if (reasoning.effort === "none")
    return canThink ? { ...withoutThinking, thinking: { type: "disabled" } } : withoutThinking;
  const why = canThink ? blocker : "this model does not support thinking";
  if (why !== undefined) losses.push({ at: "reasoning", what: "dropped", why });
  if (version !== undefined && version >= 406)
    return { ...withoutThinking, ...encodeAdaptive(reasoning, maxOutput, version, why === undefined) };
  if (why !== undefined) return withoutThinking;
  return encodeBudgeted(reasoning, { requested: maxOutput, limit, most: target.traits?.maxOutput }, losses);
}

/** The model's maximum. Loss: an assumed one. */
function defaultLimit({ traits }: EncodeTarget, version: number | undefined, losses: Loss[]): number {
  if (traits?.maxOutput !== undefined) return traits.maxOutput;
  const assumed = version !== undefined && version < 307 ? EARLY_LIMIT : DEFAULT_LIMIT;
  // Without traits the request is no call: a preview, or the defaults of a session.
  if (traits === undefined) return assumed;
  const why = `anthropic requires an output limit, and the maximum of this model is unknown: ${assumed}`;
  losses.push({ at: "max_tokens", what: "approximated", why });
  return assumed;
}

/** Models from 406 on: the model determines the amount, an effort guides it. */
function encodeAdaptive(
  reasoning: Reasoning,
  maxOutput: number | undefined,
  version: number,
  thinks: boolean,
): Omit<ThinkingMembers, "maxTokens"> {
  const { budget, summary } = reasoning;
  const effort = reasoning.effort ?? (budget === undefined ? undefined : nearestEffort(budget, maxOutput));
  return {
    ...(thinks && { thinking: { type: "adaptive", ...(summary !== undefined && { display: "summarized" }) } }),
    ...(effort !== undefined && { effort: encodeEffort(effort, version) }),
    thinks,
  };
}

/** Output limits of a request that thinks, in tokens: the caller's, the one to be sent, and the model's if it is known. */
type OutputLimits = { requested: number | undefined; limit: number; most: number | undefined };

/**
 * Earlier models: a budget. A limit that is not above it is raised, because an answer without thinking is not what was
 * requested, but not above the model's maximum: then the budget is lowered.
 */
function encodeBudgeted(
  { effort, budget }: Reasoning,
  { requested, limit, most = Number.POSITIVE_INFINITY }: OutputLimits,
  losses: Loss[],
): ThinkingMembers {
  const desired = Math.max(MIN_BUDGET, budget ?? budgetOf(effort ?? "medium", requested ?? DEFAULT_LIMIT));
  const maxTokens = limit > desired ? limit : Math.min(most, limit + desired);
  const tokens = maxTokens > desired ? desired : Math.max(MIN_BUDGET, maxTokens - MIN_BUDGET);
  if (maxTokens > limit)
    losses.push({
      at: "max_tokens",
      what: "approximated",
      why: "anthropic requires a limit above the thinking budget",
    });
  if (tokens < desired)
    losses.push({ at: "reasoning.budget", what: "approximated", why: `this model's maximum output is ${most}` });
  return { thinking: { type: "enabled", budget_tokens: tokens }, maxTokens, thinks: true };
}

/**
 * `minimal` does not exist here; `xhigh` exists from 4.7 on, before it the highest effort was `max`.
 */
function encodeEffort(effort: Effort, version: number): string {
  if (effort === "minimal") return "low";
  return effort === "xhigh" && version < 407 ? "max" : effort;
}

/**
 * 405 for `claude-sonnet-4-5-20250929`, 307 for `claude-3-7-sonnet-latest`; `undefined` if the name has no
 * version. From 406 on thinking is adaptive. From 407 on a budget is a 400 ("thinking.type.enabled" is not
 * supported for this model), and so is `temperature` (inspect_ai#3721). Models of other makers behind this wire
 * have budgets.
 */
export function modelVersion(model: string): number | undefined {
  const found = /claude-(?:[a-z]+-)?(\d)(?:[-.](\d{1,2})(?!\d))?/.exec(model);
  return found === null ? undefined : Number(found[1]) * 100 + Number(found[2] ?? 0);
}

/**
 * Whether the messages end in a tool loop whose first assistant message has no thinking block, as one that
 * started at another issuer. With a budget the API refuses that: "a final `assistant` message must start with a
 * thinking block".
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
