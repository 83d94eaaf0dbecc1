import { computeCostMicros } from "../canonical/usage.ts";
import type { Estimate } from "../keys/budget/grant-pool.ts";
import { loadPrices } from "../providers/prices.ts";
import type { Target } from "../routing/locate.ts";
import { isObject, tryParseJson } from "../wire/json.ts";

/** Paths that cost nothing at any provider: token counts and OpenAI's moderations. */
const FREE = /\/(count_tokens|input_tokens|moderations)$|:countTokens$/;
/** Paths priced by text tokens. The price of audio and pictures is unknown before the call, and often after it. */
const COUNTED = /\/(embeddings|completions)$|:(batchEmbedContents|embedContent)$/;
/** Output tokens assumed for a completion without `max_tokens`. */
const OPEN_OUTPUT = 4_096;

/** The parts of a prepared request that an estimate uses. A body that is not text counts as empty: it is not read. */
type EstimatedRequest = { target: Target; path: string; body: { text: string } | object; at: Date };

/**
 * Upper bound of what a request may cost, in micro-dollars and tokens. Prompt tokens are priced at one per byte, the
 * most there can be, and counted at four bytes each.
 */
export async function estimateEndpoint({ target, path, body, at }: EstimatedRequest): Promise<Estimate> {
  const bytes = "text" in body ? Buffer.byteLength(body.text) : 0;
  const tokens = Math.ceil(bytes / 4);
  if (FREE.test(path)) return { micros: 0, tokens };
  const request = "text" in body ? tryParseJson(body.text) : undefined;
  const maxTokens = isObject(request) && typeof request.max_tokens === "number" ? request.max_tokens : OPEN_OUTPUT;
  const output = path.endsWith("/completions") ? maxTokens : 0;
  const price = COUNTED.test(path) ? (await loadPrices(target.provider))([target.model], at) : undefined;
  const micros = computeCostMicros({ fresh: bytes, output }, price);
  return micros === undefined ? { micros: 0, tokens, isUnpriced: true } : { micros, tokens };
}
