import type { Loss, Sampling } from "../../canonical/types.ts";
import { type Json, type JsonObject, numberOf, withoutUndefined } from "../../wire/json.ts";

const dialect = "native";

/** `stop` is a text or a list; `logprobs` is the number of alternatives per token. */
export function decodeSampling(body: JsonObject): Sampling | undefined {
  const stop = typeof body.stop === "string" ? [body.stop] : body.stop;
  const sampling: Sampling = withoutUndefined({
    temperature: numberOf(body.temperature),
    topP: numberOf(body.top_p),
    topK: numberOf(body.top_k),
    frequencyPenalty: numberOf(body.frequency_penalty),
    presencePenalty: numberOf(body.presence_penalty),
    seed: numberOf(body.seed),
    stop: Array.isArray(stop) ? stop.filter((sequence) => typeof sequence === "string") : undefined,
    logprobs: numberOf(body.logprobs),
  });
  return Object.keys(sampling).length > 0 ? sampling : undefined;
}

/** Loss: more than one answer. */
export function encodeSampling(sampling: Sampling, losses: Loss[]): { [member: string]: Json | undefined } {
  const { temperature, topP, topK, frequencyPenalty, presencePenalty, seed, stop, n, logprobs } = sampling;
  if (n !== undefined && n > 1) losses.push({ at: "n", what: "dropped", why: `${dialect} returns one answer` });
  return {
    temperature,
    top_p: topP,
    top_k: topK,
    frequency_penalty: frequencyPenalty,
    presence_penalty: presencePenalty,
    seed,
    stop,
    logprobs,
  };
}
