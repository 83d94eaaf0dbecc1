import type { Block, Logprob } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, numberOf, stringifyMember } from "../../wire/json.ts";

/**
 * `logprobsResult`: a list of the chosen tokens, and beside it a list of the most likely tokens at each
 * position.
 */
export function decodeLogprobs(result: Json | undefined): Logprob[] {
  if (!isObject(result) || !Array.isArray(result.chosenCandidates)) return [];
  const tops = Array.isArray(result.topCandidates) ? result.topCandidates : [];
  return result.chosenCandidates.map((chosen, i) => {
    const top = tops[i];
    const others = isObject(top) && Array.isArray(top.candidates) ? top.candidates.map(decodeToken) : undefined;
    return { ...decodeToken(chosen), ...(others && { top: others }) };
  });
}

/** Inverse of `decodeLogprobs`; `topCandidates` only if they were requested. */
export function encodeLogprobs(logprobs: readonly Logprob[]): JsonObject {
  const isRanked = logprobs.some(({ top = [] }) => top.length > 0);
  return {
    chosenCandidates: logprobs.map(encodeToken),
    ...(isRanked && { topCandidates: logprobs.map(({ top = [] }) => ({ candidates: top.map(encodeToken) })) }),
  };
}

/** They belong to a whole candidate and are stored at its first text. */
export function withLogprobs(blocks: readonly Block[], result: Json | undefined): Block[] {
  const logprobs = decodeLogprobs(result);
  const at = blocks.findIndex(({ kind }) => kind === "text");
  return logprobs.length === 0 ? [...blocks] : blocks.map((block, i) => (i === at ? { ...block, logprobs } : block));
}

const decodeToken = (item: Json): Logprob =>
  isObject(item)
    ? { token: stringifyMember(item.token), logprob: numberOf(item.logProbability) ?? 0 }
    : { token: stringifyMember(item), logprob: 0 };

const encodeToken = ({ token, logprob }: Logprob): JsonObject => ({ token, logProbability: logprob });
