import type { Block, Logprob } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, numberOf } from "../../wire/json.ts";

/**
 * `[{token, logprob, bytes, top_logprobs}]`, the same in Chat and in Responses. Items without a token are
 * skipped.
 */
export function decodeLogprobs(tokens: Json | undefined): Logprob[] {
  return (Array.isArray(tokens) ? tokens : []).flatMap((item): Logprob[] => {
    if (!isObject(item) || typeof item.token !== "string") return [];
    const { token, bytes, top_logprobs: top } = item;
    const isBytes = Array.isArray(bytes) && bytes.every((byte) => typeof byte === "number");
    return [
      {
        token,
        logprob: numberOf(item.logprob) ?? 0,
        ...(isBytes && { bytes }),
        ...(Array.isArray(top) && { top: decodeLogprobs(top) }),
      },
    ];
  });
}

/** `bytes` and `top_logprobs` are required members of the wire: unknown bytes are null. */
export const encodeLogprobs = (logprobs: readonly Logprob[]): JsonObject[] =>
  logprobs.map((each) => ({ ...encodeLogprob(each), top_logprobs: (each.top ?? []).map(encodeLogprob) }));

const encodeLogprob = ({ token, logprob, bytes }: Logprob): JsonObject => ({ token, logprob, bytes: bytes ?? null });

/** Log probabilities of all texts of an answer, in order. */
export const logprobsOf = (blocks: readonly Block[]): Logprob[] =>
  blocks.flatMap((block) => (block.kind === "text" ? (block.logprobs ?? []) : []));
