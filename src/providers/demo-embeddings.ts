import { sha256 } from "../wire/hash.ts";
import { type Json, type JsonObject, numberOf, stringifyMember } from "../wire/json.ts";

/** As many as a small model has. */
const DIMENSIONS = 256;

/**
 * The demo's embeddings: every word, and every three letters of it, is hashed to a dimension and a sign (feature
 * hashing). Texts that share words come out near each other, and nobody should take it for more than that.
 */
export function embedTexts(body: JsonObject): JsonObject {
  const { input = null } = body;
  const isSingle = !Array.isArray(input) || typeof input[0] === "number";
  const texts = (isSingle ? [input] : input).map(splitTokens);
  const dimensions = numberOf(body.dimensions) ?? DIMENSIONS;
  const data = texts.map((words, index) => {
    const vector = buildVector(words, dimensions);
    return {
      object: "embedding",
      index,
      embedding: body.encoding_format === "base64" ? toBase64(vector) : [...vector],
    };
  });
  const tokens = texts.reduce((sum, words) => sum + words.length, 0);
  return { object: "list", data, model: "demo", usage: { prompt_tokens: tokens, total_tokens: tokens } };
}

/** One word is one token; a token of another's vocabulary is a word that nobody can read. */
const splitTokens = (input: Json): string[] =>
  Array.isArray(input) ? input.map(stringifyMember) : (stringifyMember(input).toLowerCase().match(/\S+/g) ?? []);

function buildVector(words: readonly string[], dimensions: number): Float32Array {
  const vector = new Float32Array(dimensions);
  for (const word of words) {
    const rows = ` ${word} `;
    const features = [word, ...Array.from({ length: rows.length - 2 }, (_, i) => rows.slice(i, i + 3))];
    for (const feature of features) {
      const hash = Buffer.from(sha256(feature), "base64url");
      vector[hash.readUInt32LE(0) % dimensions]! += hash[4]! % 2 === 0 ? 1 : -1;
    }
  }
  // Nothing, or features that cancel each other out: some direction it must have.
  if (vector.every((value) => value === 0)) vector[0] = 1;
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

const toBase64 = (vector: Float32Array): string => Buffer.from(vector.buffer).toString("base64");
