import type { Loss, Sampling } from "../../canonical/types.ts";
import { type JsonObject, numberOf, withoutUndefined } from "../../wire/json.ts";

/** `stop_sequences` is always a list here. */
export function decodeSampling(body: JsonObject): Sampling | undefined {
  const stop = Array.isArray(body.stop_sequences) ? body.stop_sequences : undefined;
  const sampling: Sampling = withoutUndefined({
    temperature: numberOf(body.temperature),
    topP: numberOf(body.top_p),
    topK: numberOf(body.top_k),
    stop: stop?.filter((sequence) => typeof sequence === "string"),
  });
  return Object.keys(sampling).length > 0 ? sampling : undefined;
}

/** Canonical members that the API does not have, with the name for the loss and the value that changes nothing. */
const UNSUPPORTED = [
  ["frequencyPenalty", "frequency_penalty", 0],
  ["presencePenalty", "presence_penalty", 0],
  ["seed", "seed", undefined],
  ["logprobs", "logprobs", undefined],
] as const;

/** `thinks`: the request thinks. `version`: of the model, as `modelVersion` returns it. */
type SamplingLimits = { thinks: boolean; version: number | undefined };

/**
 * `top_k` is fixed while thinking and from 4.7 on. Stop sequences of white space are refused. Loss: each of
 * these.
 */
export function encodeSampling(sampling: Sampling, limits: SamplingLimits, losses: Loss[]): JsonObject {
  const drop = (at: string, why: string): undefined => void losses.push({ at, what: "dropped", why });
  for (const [member, at, unset] of UNSUPPORTED)
    if (sampling[member] !== undefined && sampling[member] !== unset) drop(at, "anthropic does not support it");
  if (sampling.n !== undefined && sampling.n > 1) drop("n", "anthropic returns one answer");
  const temperature = encodeTemperature(sampling, limits, losses);
  const topP = encodeTopP(sampling, { ...limits, hasTemperature: temperature !== undefined }, losses);
  const topK = isFixed(limits) && sampling.topK !== undefined ? drop("top_k", explainFixed(limits)) : sampling.topK;
  const stop = sampling.stop?.filter((sequence) => sequence.trim() !== "");
  if (stop !== undefined && stop.length < sampling.stop!.length)
    drop("stop", "anthropic does not accept stop sequences of white space only");
  return withoutUndefined({
    temperature,
    top_p: topP,
    top_k: topK,
    stop_sequences: stop?.length ? stop : undefined,
  });
}

/**
 * Limits of the API: up to 1; only 1 while thinking; from 4.7 on none, not even 1 (llmgateway#3108). Loss: values other
 * than 1.
 */
function encodeTemperature({ temperature }: Sampling, limits: SamplingLimits, losses: Loss[]): number | undefined {
  if (temperature === undefined) return undefined;
  if (isFixed(limits) && temperature !== 1)
    losses.push({ at: "temperature", what: "dropped", why: explainFixed(limits) });
  if (isRefused(limits) || (isFixed(limits) && temperature !== 1)) return undefined;
  if (temperature > 1) losses.push({ at: "temperature", what: "approximated", why: "anthropic's maximum is 1" });
  return Math.min(1, temperature);
}

/**
 * Limits of the API: from 0.95 while thinking; from 4.7 on none (llmgateway#3108). Loss: other values than 1, and one beside a
 * temperature.
 */
function encodeTopP(
  { topP }: Sampling,
  limits: SamplingLimits & { hasTemperature: boolean },
  losses: Loss[],
): number | undefined {
  if (topP === undefined || (isRefused(limits) && topP === 1)) return undefined;
  // From 4.1 on: "`temperature` and `top_p` cannot both be specified for this model".
  const isSecond = limits.hasTemperature && (limits.version ?? 0) >= 401;
  if (!isSecond && !isRefused(limits) && !(isFixed(limits) && topP < 0.95)) return topP;
  const why = isSecond ? "this model accepts temperature or top_p, not both" : explainFixed(limits);
  losses.push({ at: "top_p", what: "dropped", why });
  return undefined;
}

/** Whether the API determines the values: while the model thinks, and from 4.7 on. */
const isFixed = (limits: SamplingLimits): boolean => limits.thinks || isRefused(limits);

/** Whether the API refuses the parameters with any value. */
const isRefused = ({ version = 0 }: SamplingLimits): boolean => version >= 407;

/** Reason of a loss. */
const explainFixed = ({ thinks }: SamplingLimits): string =>
  thinks ? "the value is fixed while thinking" : "the value is fixed for this model";
