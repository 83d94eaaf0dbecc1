import type { Block, Logprob } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, numberOf } from "../../wire/json.ts";

/** `[{token, logprob, bytes, top_logprobs}]`, the same on both OpenAI wires. */
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

/** Both lists are required here. Bytes that the provider did not say are null. */
export const encodeLogprobs = (logprobs: readonly Logprob[]): JsonObject[] =>
  logprobs.map((each) => ({ ...encodeLogprob(each), top_logprobs: (each.top ?? []).map(encodeLogprob) }));

const encodeLogprob = ({ token, logprob, bytes }: Logprob): JsonObject => ({ token, logprob, bytes: bytes ?? null });

/** Of all texts of an answer, in their order. */
export const logprobsOf = (blocks: readonly Block[]): Logprob[] =>
  blocks.flatMap((block) => (block.kind === "text" ? (block.logprobs ?? []) : []));
