import { costMicros } from "../canonical/usage.ts";
import type { Estimate } from "../keys/budget/grant-pool.ts";
import { pricesOf } from "../providers/prices.ts";
import type { Target } from "../routing/locate.ts";
import { isObject, tryParseJson } from "../wire/json.ts";

/** What costs nothing anywhere: a count of tokens, and OpenAI's moderations. */
const FREE = /\/(count_tokens|input_tokens|moderations)$|:countTokens$/;
/** What answers in tokens. Of sounds and pictures nobody knows the price before, and few after. */
const COUNTED = /\/(embeddings|completions)$|:(batchEmbedContents|embedContent)$/;
/** A completion that says nothing of its length has this many tokens at OpenAI; others say more. */
const OPEN_OUTPUT = 4_096;

/** Only of a text something is known before. */
type EstimatedRequest = { target: Target; path: string; body: { text: string } | object; call: { createdAt: number } };

/** What a request of a non-generation endpoint may take at most. */
export async function estimateEndpoint({ target, path, body, call }: EstimatedRequest): Promise<Estimate> {
  const bytes = "text" in body ? Buffer.byteLength(body.text) : 0;
  const tokens = Math.ceil(bytes / 4);
  if (FREE.test(path)) return { micros: 0, tokens };
  const request = "text" in body ? tryParseJson(body.text) : undefined;
  const maxTokens = isObject(request) && typeof request.max_tokens === "number" ? request.max_tokens : OPEN_OUTPUT;
  const output = path.endsWith("/completions") ? maxTokens : 0;
  const price = COUNTED.test(path)
    ? (await pricesOf(target.provider))([target.model], new Date(call.createdAt))
    : undefined;
  const micros = costMicros({ fresh: bytes, output }, price);
  return micros === undefined ? { micros: 0, tokens, isUnpriced: true } : { micros, tokens };
}
