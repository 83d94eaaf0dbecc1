import type { Loss, Sampling } from "../../canonical/types.ts";
import { type JsonObject, numberOf, withoutUndefined } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { requestedLogprobs } from "../requested-logprobs.ts";

/** `stop` is a string or a list (API reference, Chat: create). */
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
    n: numberOf(body.n),
    logprobs: requestedLogprobs(body.logprobs, numberOf(body.top_logprobs)),
  });
  return Object.keys(sampling).length > 0 ? sampling : undefined;
}

/** Stop sequences; the API refuses more ("Up to 4 sequences", API reference). */
const MAX_STOPS = 4;

/** Losses: `top_k`, which OpenAI does not have, and stop sequences after the fourth. */
export function encodeSampling(sampling: Sampling, { quirks }: EncodeTarget, losses: Loss[]): JsonObject {
  const { temperature, topP, topK, frequencyPenalty, presencePenalty, seed, stop, n, logprobs } = sampling;
  if (topK !== undefined) losses.push({ at: "top_k", what: "dropped", why: "openai-chat does not support it" });
  if (stop !== undefined && stop.length > MAX_STOPS)
    losses.push({ at: "stop", what: "approximated", why: `openai-chat accepts ${MAX_STOPS} stop sequences` });
  return withoutUndefined({
    temperature,
    top_p: topP,
    frequency_penalty: frequencyPenalty,
    presence_penalty: presencePenalty,
    [quirks?.seed ?? "seed"]: seed,
    stop: stop?.slice(0, MAX_STOPS),
    n,
    ...(logprobs !== undefined && { logprobs: true, top_logprobs: logprobs }),
  });
}
