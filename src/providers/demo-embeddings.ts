import { sha256 } from "../wire/hash.ts";
import { type Json, type JsonObject, numberOf, stringifyMember } from "../wire/json.ts";

/** Default length of a vector, that of a small embedding model. */
const DIMENSIONS = 256;

/**
 * The demo's embeddings, for the body of an OpenAI embeddings request: each word, and each three-letter part of it, is
 * hashed to a dimension and a sign (feature hashing). Texts with common words get similar vectors; there is no semantics.
 */
export function embedTexts(body: JsonObject): JsonObject {
  const { input = null } = body;
  const isSingle = !Array.isArray(input) || typeof input[0] === "number";
  const texts = (isSingle ? [input] : input).map(splitTokens);
  const dimensions = numberOf(body.dimensions) ?? DIMENSIONS;
  const data = texts.map((tokens, index) => {
    const vector = buildVector(tokens, dimensions);
    return {
      object: "embedding",
      index,
      embedding: body.encoding_format === "base64" ? toBase64(vector) : [...vector],
    };
  });
  const tokens = texts.reduce((sum, tokens) => sum + tokens.length, 0);
  return { object: "list", data, model: "demo", usage: { prompt_tokens: tokens, total_tokens: tokens } };
}

/** A token is a word. Input of token numbers, which OpenAI accepts, is used as it is: each number is one token. */
const splitTokens = (input: Json): string[] =>
  Array.isArray(input) ? input.map(stringifyMember) : (stringifyMember(input).toLowerCase().match(/\S+/g) ?? []);

/** A vector of length 1. */
function buildVector(tokens: readonly string[], dimensions: number): Float32Array {
  const vector = new Float32Array(dimensions);
  for (const token of tokens) {
    const rows = ` ${token} `;
    const features = [token, ...Array.from({ length: rows.length - 2 }, (_, i) => rows.slice(i, i + 3))];
    for (const feature of features) {
      const hash = Buffer.from(sha256(feature), "base64url");
      vector[hash.readUInt32LE(0) % dimensions]! += hash[4]! % 2 === 0 ? 1 : -1;
    }
  }
  // An empty text, or features that cancel out: a zero vector could not be normalised.
  if (vector.every((value) => value === 0)) vector[0] = 1;
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

const toBase64 = (vector: Float32Array): string => Buffer.from(vector.buffer).toString("base64");
