import type { Loss, Sampling } from "../../canonical/types.ts";
import { type JsonObject, numberOf, withoutUndefined } from "../../wire/json.ts";

const dialect = "openai-responses";

/** Log probabilities are requested by `include`, their alternatives by `top_logprobs`. */
export function decodeSampling(body: JsonObject): Sampling | undefined {
  const include = Array.isArray(body.include) ? body.include : [];
  const includesLogprobs = include.includes("message.output_text.logprobs");
  const sampling: Sampling = withoutUndefined({
    temperature: numberOf(body.temperature),
    topP: numberOf(body.top_p),
    frequencyPenalty: numberOf(body.frequency_penalty),
    presencePenalty: numberOf(body.presence_penalty),
    logprobs: numberOf(body.top_logprobs) ?? (includesLogprobs ? 0 : undefined),
  });
  return Object.keys(sampling).length > 0 ? sampling : undefined;
}

/**
 * Loss: what Responses does not have. Values that change nothing (a penalty of 0, one answer) are no loss.
 */
export function encodeSampling(sampling: Sampling, losses: Loss[]): JsonObject {
  const { temperature, topP, topK, frequencyPenalty, presencePenalty, seed, stop, n, logprobs } = sampling;
  const unknown = {
    top_k: topK,
    frequency_penalty: frequencyPenalty || undefined,
    presence_penalty: presencePenalty || undefined,
    seed,
    stop: stop?.length === 0 ? undefined : stop,
    n: n === 1 ? undefined : n,
  };
  for (const [at, value] of Object.entries(unknown))
    if (value !== undefined) losses.push({ at, what: "dropped", why: `${dialect} does not support it` });
  return withoutUndefined({ temperature, top_p: topP, top_logprobs: logprobs });
}
