import { invalid } from "../../canonical/error.ts";
import { verbatim } from "../../canonical/native.ts";
import type { Format, Loss, ModelRequest, Sampling } from "../../canonical/types.ts";
import {
  isObject,
  type Json,
  type JsonObject,
  numberOf,
  stringifyMember,
  stringOf,
  withoutUndefined,
} from "../../wire/json.ts";
import type { Encoded, EncodeTarget } from "../dialect.ts";
import { decodeMessages, decodeSystem, encodeMessages, encodeSystem } from "./messages.ts";
import { toSupportedSchema } from "./schema.ts";
import { decodeReasoning, encodeReasoning, isUnsignedLoop, modelVersion } from "./thinking.ts";
import { decodeToolChoice, decodeTools, encodeToolChoice, encodeTools } from "./tools.ts";

const dialect = "anthropic";

/** Decodes a body of `POST /v1/messages`. Throws `request.invalid` if `messages` is no list. */
export function decodeRequest(body: JsonObject): ModelRequest {
  if (!Array.isArray(body.messages)) throw invalid("messages", "expected a list of messages");
  return withoutUndefined({
    model: stringOf(body.model) ?? "",
    stream: body.stream === true,
    messages: [...decodeSystem(body.system), ...decodeMessages(body.messages)],
    tools: decodeTools(body),
    ...decodeToolChoice(body.tool_choice),
    reasoning: decodeReasoning(body),
    format: decodeFormat(body),
    maxOutput: numberOf(body.max_tokens),
    sampling: decodeSampling(body),
    user: isObject(body.metadata) ? stringOf(body.metadata.user_id) : undefined,
    serviceTier: TIERS[stringifyMember(body.service_tier)],
    rest: { dialect, item: body },
  });
}

/**
 * A body that came over this wire retains its other members; any other is built from the canonical members.
 */
export function encodeRequest(request: ModelRequest, target: EncodeTarget): Encoded<JsonObject> {
  const instructions = encodeSystem(request.messages, target);
  const { value: messages, losses } = encodeMessages(instructions.rest, target);
  losses.unshift(...instructions.losses);
  const system = instructions.value;
  const own = verbatim(request.rest, target);
  if (isObject(own)) return { value: reuseBody(own, { model: target.model, messages }, system, losses), losses };
  if (messages.length === 0) {
    // The API refuses an empty list ("messages: at least one message is required") and blank texts.
    losses.push({ at: "messages", what: "approximated", why: "anthropic wants a user's message beside instructions" });
    messages.push({ role: "user", content: "." });
  }
  return { value: buildBody(request, target, { messages, ...(system !== undefined && { system }) }, losses), losses };
}

/**
 * `system` follows the messages; if the member of the body was empty, it stays. Loss: thinking, where the
 * history lost the signed blocks that a tool loop needs (`isUnsignedLoop`).
 */
function reuseBody(own: JsonObject, members: JsonObject, system: Json | undefined, losses: Loss[]): JsonObject {
  const { system: before, ...rest } = own;
  const isEmpty = decodeSystem(before).length === 0;
  const systemMember = system ?? (isEmpty ? before : undefined);
  const body = { ...rest, ...(systemMember !== undefined && { system: systemMember }), ...members };
  const isBudgeted = isObject(own.thinking) && own.thinking.type === "enabled";
  if (losses.length === 0 || !isBudgeted || !isUnsignedLoop(members.messages as Json[])) return body;
  losses.push({ at: "reasoning", what: "dropped", why: UNSIGNED });
  return Object.fromEntries(Object.entries(body).filter(([member]) => member !== "thinking"));
}

/**
 * `max_tokens` is required by the API, so there is always one. Loss: the cache key, which this API does not
 * have.
 */
function buildBody(request: ModelRequest, target: EncodeTarget, members: JsonObject, losses: Loss[]): JsonObject {
  if (request.cacheKey !== undefined)
    losses.push({ at: "prompt_cache_key", what: "dropped", why: "anthropic finds its caches without" });
  const version = modelVersion(target.model);
  const tools = encodeTools(request.tools ?? [], target, losses);
  const choice = tools.tools === undefined ? {} : encodeToolChoice(request);
  const blocker = findThinkingBlocker(choice, members.messages as Json[], version);
  const { thinking, effort, maxTokens, thinks } = encodeReasoning(request, version, losses, blocker);
  const output = withoutUndefined({ effort, format: encodeFormat(request.format, losses) }) as JsonObject;
  return withoutUndefined({
    model: target.model,
    max_tokens: maxTokens,
    ...members,
    stream: request.stream || undefined,
    ...tools,
    ...choice,
    thinking,
    output_config: Object.keys(output).length > 0 ? output : undefined,
    ...encodeSampling(request.sampling ?? {}, { thinks, version }, losses),
    metadata: request.user === undefined ? undefined : { user_id: request.user },
    service_tier: encodeTier(request.serviceTier, losses),
  });
}

/** Reason of the loss (Anthropic API, "Extended thinking": preserving thinking blocks). */
const UNSIGNED = "a tool loop that thinks must begin with its issuer's signed thinking";

/**
 * The reason why the request cannot think, or `undefined`. The API refuses thinking together with a forced tool
 * call ("Extended thinking": tool use); the call is a contract with the caller, thinking is not, so thinking is
 * dropped. Models with adaptive thinking (406 and later) accept a loop without signatures.
 */
function findThinkingBlocker(choice: JsonObject, messages: Json[], version: number | undefined): string | undefined {
  const forced =
    isObject(choice.tool_choice) && (choice.tool_choice.type === "any" || choice.tool_choice.type === "tool");
  if (forced) return "anthropic does not think where a tool call is forced";
  const isAdaptive = version !== undefined && version >= 406;
  return !isAdaptive && isUnsignedLoop(messages) ? UNSIGNED : undefined;
}

/** `output_config.format`; `output_format` was its name in the beta. */
function decodeFormat(body: JsonObject): Format | undefined {
  const format = isObject(body.output_config) ? (body.output_config.format ?? body.output_format) : body.output_format;
  if (!isObject(format) || format.type !== "json_schema") return undefined;
  const title = isObject(format.schema) ? stringOf(format.schema.title) : undefined;
  const name = title !== undefined && /^[a-zA-Z0-9_-]{1,64}$/.test(title) ? title : "answer";
  return { type: "json_schema", name, schema: format.schema ?? {} };
}

/** Loss: JSON without a schema, which the API does not have. */
function encodeFormat(format: Format | undefined, losses: Loss[]): Json | undefined {
  if (format === undefined || format.type === "text") return undefined;
  if (format.type === "json_schema")
    return { type: "json_schema", schema: toSupportedSchema(format.schema, "format", losses) };
  losses.push({ at: "format", what: "dropped", why: "anthropic writes JSON by schema only" });
  return undefined;
}

/** `stop_sequences` is always a list here. */
function decodeSampling(body: JsonObject): Sampling | undefined {
  const stop = Array.isArray(body.stop_sequences) ? body.stop_sequences : undefined;
  const sampling: Sampling = withoutUndefined({
    temperature: numberOf(body.temperature),
    topP: numberOf(body.top_p),
    topK: numberOf(body.top_k),
    stop: stop?.filter((sequence) => typeof sequence === "string"),
  });
  return Object.keys(sampling).length > 0 ? sampling : undefined;
}

/** Canonical members that the API does not have, with the name for the loss. */
const UNSUPPORTED = {
  frequencyPenalty: "frequency_penalty",
  presencePenalty: "presence_penalty",
  seed: "seed",
  logprobs: "logprobs",
} as const;

/** `thinks`: the request thinks. `version`: of the model, as `modelVersion` returns it. */
type SamplingLimits = { thinks: boolean; version: number | undefined };

/**
 * `top_k` is fixed while thinking and from 4.7 on. Stop sequences of white space are refused. Loss: each of
 * these.
 */
function encodeSampling(sampling: Sampling, limits: SamplingLimits, losses: Loss[]): JsonObject {
  const drop = (at: string, why: string): undefined => void losses.push({ at, what: "dropped", why });
  for (const [member, at] of Object.entries(UNSUPPORTED))
    if (sampling[member as keyof typeof UNSUPPORTED]) drop(at, "anthropic has none");
  if (sampling.n !== undefined && sampling.n > 1) drop("n", "anthropic gives one answer");
  const { temperature, topP } = encodeRandomness(sampling, limits, losses);
  const isFixed = limits.thinks || (limits.version ?? 0) >= 407;
  const topK = isFixed && sampling.topK !== undefined ? drop("top_k", explainFixed(limits)) : sampling.topK;
  const stop = sampling.stop?.filter((sequence) => sequence.trim() !== "");
  if (stop !== undefined && stop.length < sampling.stop!.length) drop("stop", "anthropic stops at no white space");
  return withoutUndefined({
    temperature,
    top_p: topP,
    top_k: topK,
    stop_sequences: stop?.length ? stop : undefined,
  });
}

/**
 * Limits of the API: `temperature` up to 1; while thinking, and from 4.7 on, only 1, and `top_p` from 0.95
 * (llmgateway#3108). Loss: other values.
 */
function encodeRandomness(
  { temperature, topP }: Sampling,
  limits: SamplingLimits,
  losses: Loss[],
): { temperature?: number; topP?: number } {
  const isFixed = limits.thinks || (limits.version ?? 0) >= 407;
  const out: { temperature?: number; topP?: number } = {};
  if (temperature !== undefined && temperature > 1 && !isFixed)
    losses.push({ at: "temperature", what: "approximated", why: "anthropic ends at 1" });
  if (temperature !== undefined && temperature !== 1 && isFixed)
    losses.push({ at: "temperature", what: "dropped", why: explainFixed(limits) });
  else if (temperature !== undefined) out.temperature = Math.min(1, temperature);
  // From 4.1 on: "`temperature` and `top_p` cannot both be specified for this model".
  const isSecond = out.temperature !== undefined && (limits.version ?? 0) >= 401;
  if (topP !== undefined && ((isFixed && topP < 0.95) || isSecond))
    losses.push({
      at: "top_p",
      what: "dropped",
      why: isSecond ? "this model takes temperature or top_p" : explainFixed(limits),
    });
  else if (topP !== undefined) out.topP = topP;
  return out;
}

/** Reason of a loss. */
const explainFixed = ({ thinks }: SamplingLimits): string =>
  thinks ? "anthropic has it fixed while thinking" : "fixed in this model";

/**
 * The two values of `service_tier` (Anthropic API, Messages). Priority and flex tiers are contracts of other
 * providers.
 */
const TIERS: Record<string, string> = { auto: "auto", standard_only: "default" };

/** Inverse of `TIERS`. Loss: any other tier. */
function encodeTier(tier: string | undefined, losses: Loss[]): string | undefined {
  if (tier === undefined || tier === "auto") return tier;
  if (tier === "default") return "standard_only";
  losses.push({ at: "service_tier", what: "dropped", why: `anthropic has no tier ${tier}` });
  return undefined;
}
