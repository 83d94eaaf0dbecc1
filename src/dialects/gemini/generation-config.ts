import { budgetOf, effortOf } from "../../canonical/reasoning.ts";
import type { Effort, Format, Loss, Reasoning, Sampling } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, numberOf, stringifyMember, withoutUndefined } from "../../wire/json.ts";
import { readMember } from "./casing.ts";
import { decodeSchema, encodeSchema } from "./schema.ts";
import { isGemini3 } from "./tool-results.ts";

/** `generationConfig`: all that steers the answer. */
export type GenerationConfig = { sampling?: Sampling; format?: Format; reasoning?: Reasoning; maxOutput?: number };

export function decodeConfig(config: Json | undefined): GenerationConfig {
  if (!isObject(config)) return {};
  return withoutUndefined({
    sampling: decodeSampling(config),
    format: decodeFormat(config),
    reasoning: decodeReasoning(readMember(config, "thinkingConfig")),
    maxOutput: numberOf(readMember(config, "maxOutputTokens")),
  });
}

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

function decodeSampling(config: JsonObject): Sampling | undefined {
  const stop = readMember(config, "stopSequences");
  const sampling: Sampling = withoutUndefined({
    temperature: numberOf(config.temperature),
    topP: numberOf(readMember(config, "topP")),
    topK: numberOf(readMember(config, "topK")),
    frequencyPenalty: numberOf(readMember(config, "frequencyPenalty")),
    presencePenalty: numberOf(readMember(config, "presencePenalty")),
    seed: numberOf(config.seed),
    stop: Array.isArray(stop) ? stop.filter((sequence) => typeof sequence === "string") : undefined,
    n: numberOf(readMember(config, "candidateCount")),
    logprobs: readMember(config, "responseLogprobs") === true ? (numberOf(config.logprobs) ?? 0) : undefined,
  });
  return Object.keys(sampling).length > 0 ? sampling : undefined;
}

/** The API refuses more stop sequences. */
const MAX_STOPS = 5;

function encodeSampling(sampling: Sampling, losses: Loss[]): JsonObject {
  const { temperature, topP, topK, frequencyPenalty, presencePenalty, seed, stop, n, logprobs } = sampling;
  if (stop !== undefined && stop.length > MAX_STOPS)
    losses.push({ at: "stop", what: "approximated", why: `gemini takes ${MAX_STOPS} stop sequences` });
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

function decodeFormat(config: JsonObject): Format | undefined {
  const mime = readMember(config, "responseMimeType");
  const own = readMember(config, "responseSchema");
  const schema =
    readMember(config, "responseJsonSchema") ?? (own === undefined || own === null ? null : decodeSchema(own));
  if (schema !== null) return { type: "json_schema", name: schemaNameOf(schema), schema };
  if (mime === "application/json") return { type: "json" };
  return mime === "text/plain" ? { type: "text" } : undefined;
}

/** A schema's name is a label of OpenAI's alone, and every schema is strict here. */
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

/** Others want a name for a schema, and of these characters only. */
function schemaNameOf(schema: Json): string {
  const title = isObject(schema) ? stringifyMember(schema.title) : "";
  return title.replace(/[^\w-]+/g, "_").slice(0, 64) || "answer";
}

/** A budget of −1 leaves it to the model. */
function decodeReasoning(thinking: Json | undefined): Reasoning | undefined {
  if (!isObject(thinking)) return undefined;
  const requestedBudget = numberOf(readMember(thinking, "thinkingBudget"));
  const level = effortOf(stringifyMember(readMember(thinking, "thinkingLevel")).toLowerCase());
  const reasoning: Reasoning = withoutUndefined({
    effort: requestedBudget === 0 ? "none" : level,
    budget: requestedBudget !== undefined && requestedBudget > 0 ? requestedBudget : undefined,
    summary: readMember(thinking, "includeThoughts") === true ? "auto" : undefined,
  });
  return Object.keys(reasoning).length > 0 ? reasoning : undefined;
}

/** What every 2.5 model takes: Flash ends at 24 576, Flash-Lite begins at 512. */
const MIN_BUDGET = 512;
const MAX_BUDGET = 24_576;

/** Gemini 3 is asked by level, the models before it know a budget only; both at once are refused. */
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

/** Pro models know `low` and `high`, all others `minimal` and `medium` as well. */
function encodeLevel(effort: Effort, model: string, losses: Loss[]): string {
  const least = model.includes("pro") ? "low" : "minimal";
  const level = effort === "none" || effort === "minimal" ? least : effort === "xhigh" ? "high" : effort;
  if (level !== effort) losses.push({ at: "reasoning.effort", what: "approximated", why: `${model} takes ${level}` });
  return level;
}

function encodeBudget(budget: number | undefined, losses: Loss[]): JsonObject {
  if (budget === undefined || budget === 0) return budget === undefined ? {} : { thinkingBudget: 0 };
  const thinkingBudget = Math.min(MAX_BUDGET, Math.max(MIN_BUDGET, budget));
  if (thinkingBudget !== budget)
    losses.push({
      at: "reasoning.budget",
      what: "approximated",
      why: `gemini takes ${MIN_BUDGET} to ${MAX_BUDGET} tokens`,
    });
  return { thinkingBudget };
}
