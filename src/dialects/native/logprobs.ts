import type { Logprob } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, numberOf, stringifyMember } from "../../wire/json.ts";

/** The same structure as the canonical one. */
export function decodeLogprobs(logprobs: Json | undefined): Logprob[] {
  return (Array.isArray(logprobs) ? logprobs : []).filter(isObject).map(({ token, logprob, bytes, top }) => ({
    token: stringifyMember(token),
    logprob: numberOf(logprob) ?? 0,
    ...(Array.isArray(bytes) && { bytes: bytes.filter((byte) => typeof byte === "number") }),
    ...(Array.isArray(top) && { top: decodeLogprobs(top) }),
  }));
}

/** Inverse for one token; `top` has the other likely tokens. */
export function encodeLogprob({ token, logprob, bytes, top }: Logprob): JsonObject {
  return { token, logprob, ...(bytes && { bytes }), ...(top && { top: top.map(encodeLogprob) }) };
}
