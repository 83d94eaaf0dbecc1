import { budgetOf, effortOf } from "../../canonical/reasoning.ts";
import type { Effort, Format, Loss, Reasoning, Sampling } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, withoutUndefined } from "../../wire/json.ts";
import { requestedLogprobs } from "../requested-logprobs.ts";
import { readMember, readNumber, toWord } from "./casing.ts";
import { decodeSchema, encodeSchema } from "./schema.ts";
import { isGemini3 } from "./tool-results.ts";

/** The canonical members that this wire has in `generationConfig`. `maxOutput`: tokens. */
type GenerationConfig = { sampling?: Sampling; format?: Format; reasoning?: Reasoning; maxOutput?: number };

/** `generationConfig` (Gemini API, GenerationConfig); an absent member has no settings. */
export function decodeConfig(config: Json | undefined): GenerationConfig {
  if (!isObject(config)) return {};
  return withoutUndefined({
    sampling: decodeSampling(config),
    format: decodeFormat(config),
    reasoning: decodeReasoning(readMember(config, "thinkingConfig")),
    maxOutput: readNumber(config, "maxOutputTokens"),
  });
}

/** Inverse of `decodeConfig`; no member if there is nothing to set. */
export function encodeConfig(
  { sampling, format, reasoning, maxOutput }: GenerationConfig,
  model: string,
  losses: Loss[],
): JsonObject {
  const config: JsonObject = {
    ...(maxOutput !== undefined && { maxOutputTokens: maxOutput }),
    ...(sampling !== undefined && encodeSampling(sampling, losses)),
    ...(format !== undefined && encodeFormat(format, losses)),
    ...(reasoning !== undefined && encodeReasoning(reasoning, maxOutput, model, losses)),
  };
  return Object.keys(config).length > 0 ? { generationConfig: config } : {};
}

/** `ThinkingLevel` by number (Vertex AI, content.proto), and the efforts of other APIs. */
export const LEVELS = ["THINKING_LEVEL_UNSPECIFIED", "LOW", "MEDIUM", "HIGH", "MINIMAL", "NONE", "XHIGH", "MAX"];

/** A budget of −1 lets the model decide, 0 disables thinking (Gemini API, "Thinking"). */
function decodeReasoning(thinking: Json | undefined): Reasoning | undefined {
  if (!isObject(thinking)) return undefined;
  const requestedBudget = readNumber(thinking, "thinkingBudget");
  const level = effortOf(stringifyMember(toWord(readMember(thinking, "thinkingLevel"), LEVELS) as Json).toLowerCase());
  const reasoning: Reasoning = withoutUndefined({
    effort: requestedBudget === 0 ? "none" : level,
    budget: requestedBudget !== undefined && requestedBudget > 0 ? requestedBudget : undefined,
    summary: readMember(thinking, "includeThoughts") === true ? "auto" : undefined,
  });
  return Object.keys(reasoning).length > 0 ? reasoning : undefined;
}

/** Tokens that every 2.5 model accepts: Flash-Lite starts at 512, Flash ends at 24 576. */
const MIN_BUDGET = 512;
const MAX_BUDGET = 24_576;

/** Gemini 3 has levels, earlier models a budget only. Both in one request are refused. */
function encodeReasoning(
  reasoning: Reasoning,
  maxOutput: number | undefined,
  model: string,
  losses: Loss[],
): JsonObject {
  const { effort, budget, summary } = reasoning;
  const thoughts = summary !== undefined && summary !== "none" ? { includeThoughts: true } : {};
  const config =
    effort !== undefined && isGemini3(model)
      ? { ...thoughts, thinkingLevel: encodeLevel(effort, model, losses) }
      : {
          ...thoughts,
          ...encodeBudget(budget ?? (effort === undefined ? undefined : budgetOf(effort, maxOutput)), losses),
        };
  return Object.keys(config).length > 0 ? { thinkingConfig: config } : {};
}

/**
 * Pro models have `low` and `high`, others `minimal` and `medium` too. Loss: an effort without a level of its
 * own.
 */
function encodeLevel(effort: Effort, model: string, losses: Loss[]): string {
  const least = model.includes("pro") ? "low" : "minimal";
  const level = effort === "none" || effort === "minimal" ? least : effort === "xhigh" ? "high" : effort;
  if (level !== effort)
    losses.push({ at: "reasoning.effort", what: "approximated", why: `sent as ${level} to ${model}` });
  return level;
}

/** 0 stays 0. Loss: a budget outside of the range. */
function encodeBudget(budget: number | undefined, losses: Loss[]): JsonObject {
  if (budget === undefined || budget === 0) return budget === undefined ? {} : { thinkingBudget: 0 };
  const thinkingBudget = Math.min(MAX_BUDGET, Math.max(MIN_BUDGET, budget));
  if (thinkingBudget !== budget)
    losses.push({
      at: "reasoning.budget",
      what: "approximated",
      why: `gemini accepts ${MIN_BUDGET} to ${MAX_BUDGET} tokens`,
    });
  return { thinkingBudget };
}

/** `responseJsonSchema` has JSON Schema, `responseSchema` the older subset of OpenAPI. */
function decodeFormat(config: JsonObject): Format | undefined {
  const mime = readMember(config, "responseMimeType");
  const own = readMember(config, "responseSchema");
  const schema =
    readMember(config, "responseJsonSchema") ?? (own === undefined || own === null ? null : decodeSchema(own));
  if (schema !== null) return { type: "json_schema", name: schemaNameOf(schema), schema };
  if (mime === "application/json") return { type: "json" };
  return mime === "text/plain" ? { type: "text" } : undefined;
}

/** The name of a schema exists at OpenAI only, and every schema is strict here; neither is a loss. */
function encodeFormat(format: Format, losses: Loss[]): JsonObject {
  if (format.type === "text") return {};
  if (format.type === "json") return { responseMimeType: "application/json" };
  const schema = encodeSchema(format.schema, "response_format", losses);
  const lacksDescription = isObject(schema) && format.description !== undefined && schema.description === undefined;
  return {
    responseMimeType: "application/json",
    responseJsonSchema: lacksDescription ? { ...schema, description: format.description! } : schema,
  };
}

/** Other wires require a name, of these characters only. */
function schemaNameOf(schema: Json): string {
  const title = isObject(schema) ? stringifyMember(schema.title) : "";
  return title.replace(/[^\w-]+/g, "_").slice(0, 64) || "answer";
}

function decodeSampling(config: JsonObject): Sampling | undefined {
  const stop = readMember(config, "stopSequences");
  const sampling: Sampling = withoutUndefined({
    temperature: readNumber(config, "temperature"),
    topP: readNumber(config, "topP"),
    topK: readNumber(config, "topK"),
    frequencyPenalty: readNumber(config, "frequencyPenalty"),
    presencePenalty: readNumber(config, "presencePenalty"),
    seed: readNumber(config, "seed"),
    stop: Array.isArray(stop) ? stop.filter((sequence) => typeof sequence === "string") : undefined,
    n: readNumber(config, "candidateCount"),
    logprobs: requestedLogprobs(readMember(config, "responseLogprobs"), readNumber(config, "logprobs")),
  });
  return Object.keys(sampling).length > 0 ? sampling : undefined;
}

/** Stop sequences; the API refuses more (Gemini API, GenerationConfig). */
const MAX_STOPS = 5;

/** Loss: stop sequences after the fifth. */
function encodeSampling(sampling: Sampling, losses: Loss[]): JsonObject {
  const { temperature, topP, topK, frequencyPenalty, presencePenalty, seed, stop, n, logprobs } = sampling;
  if (stop !== undefined && stop.length > MAX_STOPS)
    losses.push({ at: "stop", what: "approximated", why: `gemini accepts ${MAX_STOPS} stop sequences` });
  return withoutUndefined({
    temperature,
    topP,
    topK,
    frequencyPenalty,
    presencePenalty,
    seed,
    stopSequences: stop?.slice(0, MAX_STOPS),
    candidateCount: n,
    ...(logprobs !== undefined && { responseLogprobs: true, ...(logprobs > 0 && { logprobs }) }),
  });
}
