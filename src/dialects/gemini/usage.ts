import type { Usage } from "../../canonical/types.ts";
import { sumInputTokens } from "../../canonical/usage.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import { countOf } from "../dialect.ts";

/**
 * The prompt includes cached tokens, but not those that tools of Gemini read; candidates exclude thoughts.
 * Gemini omits zeros, so an absent candidate count beside other counts is 0 (Gemini API, UsageMetadata).
 */
export function decodeUsage(usage: Json | undefined): Usage {
  if (!isObject(usage)) return {};
  const prompt = countOf(usage.promptTokenCount);
  const cacheRead = countOf(usage.cachedContentTokenCount);
  const reasoning = countOf(usage.thoughtsTokenCount);
  const isCounted = prompt !== undefined || usage.totalTokenCount !== undefined;
  const answer = countOf(usage.candidatesTokenCount) ?? (isCounted ? 0 : undefined);
  return {
    ...(prompt !== undefined && {
      fresh: Math.max(0, prompt - (cacheRead ?? 0)) + (countOf(usage.toolUsePromptTokenCount) ?? 0),
    }),
    ...(cacheRead !== undefined && { cacheRead }),
    ...(answer !== undefined && { output: answer + (reasoning ?? 0) }),
    ...(reasoning !== undefined && { reasoning }),
    ...audioOf(usage),
    native: usage,
  };
}

/** Audio tokens of the prompt that were not cached: the details count both. */
function audioOf(usage: JsonObject): Usage {
  const promptAudio = audioTokensIn(usage.promptTokensDetails);
  const answerAudio = audioTokensIn(usage.candidatesTokensDetails);
  return {
    ...(promptAudio !== undefined && {
      inputAudio: Math.max(0, promptAudio - (audioTokensIn(usage.cacheTokensDetails) ?? 0)),
    }),
    ...(answerAudio !== undefined && { outputAudio: answerAudio }),
  };
}

function audioTokensIn(details: Json | undefined): number | undefined {
  const one = (Array.isArray(details) ? details : []).find((each) => isObject(each) && each.modality === "AUDIO");
  return isObject(one) ? countOf(one.tokenCount) : undefined;
}

/** Inverse of `decodeUsage`. */
export function encodeUsage(usage: Usage): JsonObject | undefined {
  const prompt = sumInputTokens(usage);
  if (prompt === undefined && usage.output === undefined) return undefined;
  const { cacheRead, output = 0, reasoning, inputAudio, outputAudio } = usage;
  return {
    promptTokenCount: prompt ?? 0,
    ...(cacheRead !== undefined && { cachedContentTokenCount: cacheRead }),
    candidatesTokenCount: output - (reasoning ?? 0),
    ...(reasoning !== undefined && { thoughtsTokenCount: reasoning }),
    totalTokenCount: (prompt ?? 0) + output,
    ...(inputAudio !== undefined && { promptTokensDetails: [{ modality: "AUDIO", tokenCount: inputAudio }] }),
    ...(outputAudio !== undefined && { candidatesTokensDetails: [{ modality: "AUDIO", tokenCount: outputAudio }] }),
  };
}
