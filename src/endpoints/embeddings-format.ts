import { GatewayError, unprocessable } from "../canonical/error.ts";
import type { Loss, Usage } from "../canonical/types.ts";
import type { Encoded } from "../dialects/dialect.ts";
import { readMember } from "../dialects/gemini/casing.ts";
import { isObject, type Json, type JsonObject, numberOf, stringifyMember } from "../wire/json.ts";
import { decodeUsage } from "./answer-scan.ts";

/** Translation of embeddings between OpenAI's format and Gemini's, both ways. Pure. */
export type GeminiMethod = "embedContent" | "batchEmbedContents";

type TranslatedAnswer = { value: JsonObject; usage: Usage };

/**
 * OpenAI's request as Gemini's `batchEmbedContents`, which returns one vector per request. Throws
 * `request.unprocessable` for tokens: they belong to the vocabulary of one model.
 */
export function encodeForGemini(body: JsonObject, model: string): Encoded<JsonObject> {
  const inputs = Array.isArray(body.input) ? body.input : [body.input ?? null];
  const losses: Loss[] =
    typeof body.user === "string" ? [{ at: "user", what: "dropped", why: "gemini does not support it" }] : [];
  const dimensions = numberOf(body.dimensions);
  const requests = inputs.map((input): JsonObject => {
    if (typeof input !== "string")
      throw unprocessable("input", "expected text: the provider does not accept token ids");
    return {
      model: `models/${model}`,
      content: { parts: [{ text: input }] },
      ...(dimensions !== undefined && { outputDimensionality: dimensions }),
    };
  });
  return { value: { requests }, losses };
}

/**
 * Gemini's answer in OpenAI's format. `usage` is a required member of it: a count that Gemini does not report, as most of
 * its embedding models, is 0. In the returned `usage` it is absent.
 */
export function decodeFromGemini(answer: Json, request: { model: string; base64: boolean }): TranslatedAnswer {
  const vectors = readGeminiVectors(answer);
  const usage = decodeGeminiUsage(answer);
  const data = vectors.map((vector, index) => ({
    object: "embedding",
    index,
    embedding: request.base64 ? encodeFloats(vector) : vector,
  }));
  const tokens = usage.fresh ?? 0;
  const value = { object: "list", data, model: request.model, usage: { prompt_tokens: tokens, total_tokens: tokens } };
  return { value, usage };
}

/** Gemini's request, single or batch, as OpenAI's. Throws `request.unprocessable` for what OpenAI cannot embed. */
export function encodeForOpenai(body: JsonObject, method: GeminiMethod, model: string): Encoded<JsonObject> {
  const requests = method === "embedContent" ? [body] : (body.requests as JsonObject[]);
  const losses: Loss[] = [];
  for (const name of ["taskType", "title"]) {
    if (requests.some((request) => readMember(request, name) !== undefined))
      losses.push({ at: name, what: "dropped", why: "OpenAI's embeddings do not support it" });
  }
  const sizes = new Set(requests.map((request) => numberOf(readMember(request, "outputDimensionality"))));
  if (sizes.size > 1)
    throw unprocessable("requests", "the provider returns all embeddings of a request with the same dimensions");
  const [dimensions] = sizes;
  const texts = requests.map((request, i) =>
    joinTextParts(request.content, method === "embedContent" ? "content" : `requests[${i}].content`),
  );
  const value: JsonObject = {
    model,
    input: texts.length === 1 ? texts[0]! : texts,
    ...(dimensions !== undefined && { dimensions }),
    encoding_format: "float",
  };
  return { value, losses };
}

/** OpenAI's answer in Gemini's format. Throws `provider.execution_failed` for an answer without vectors. */
export function decodeFromOpenai(answer: Json, method: GeminiMethod): TranslatedAnswer {
  const data = isObject(answer) && Array.isArray(answer.data) ? answer.data : undefined;
  if (data === undefined || data.length === 0) throw noEmbeddings();
  const embeddings = data
    .map((one) => (isObject(one) ? one : {}))
    // OpenAI's API reference does not promise an order, only an `index`.
    .toSorted((a, b) => (numberOf(a.index) ?? 0) - (numberOf(b.index) ?? 0))
    .map(({ embedding }) => ({ values: requireVector(embedding) }));
  const usage = decodeUsage(isObject(answer) ? answer.usage : undefined);
  const metadata = usage.fresh === undefined ? {} : { usageMetadata: { promptTokenCount: usage.fresh } };
  const value = method === "embedContent" ? { embedding: embeddings[0]! } : { embeddings };
  return { value: { ...value, ...metadata }, usage };
}

/** Base64 of little-endian float32, OpenAI's `encoding_format: "base64"`. Every platform of the gateway is little-endian. */
export const encodeFloats = (vector: readonly number[]): string =>
  Buffer.from(Float32Array.from(vector).buffer).toString("base64");

function readGeminiVectors(answer: Json): number[][] {
  const body = isObject(answer) ? answer : {};
  const list = Array.isArray(body.embeddings) ? body.embeddings : body.embedding === undefined ? [] : [body.embedding];
  if (list.length === 0) throw noEmbeddings();
  return list.map((one) => requireVector(isObject(one) ? one.values : undefined));
}

function decodeGeminiUsage(answer: Json): Usage {
  const usage = decodeUsage(isObject(answer) ? answer.usageMetadata : undefined);
  // An embedding generates no tokens: the input is all of its usage.
  return usage.fresh === undefined ? usage : { ...usage, output: 0 };
}

function requireVector(value: Json | undefined): number[] {
  if (Array.isArray(value)) return value as number[];
  // Some providers answer a request for floats in base64, even of bytes (Perplexity, as recorded): the type is ambiguous.
  throw noEmbeddings();
}

/** The text of one content, which becomes one vector: its parts, joined by line breaks. */
function joinTextParts(content: Json | undefined, at: string): string {
  if (typeof content === "string") return content;
  const parts = isObject(content) ? [content.parts ?? []].flat() : [];
  const texts = parts.map((part) => {
    const text = typeof part === "string" ? part : isObject(part) ? part.text : undefined;
    if (text === undefined) throw unprocessable(`${at}.parts`, "the provider embeds text only");
    return stringifyMember(text);
  });
  return texts.join("\n");
}

const noEmbeddings = (): GatewayError =>
  new GatewayError("provider.execution_failed", "the provider's answer has no embeddings as lists of numbers");
