import type { Usage } from "../canonical/types.ts";
import { concatBytes, decodeUtf8 } from "../wire/bytes.ts";
import { isObject, type Json, type JsonObject, numberOf, tryParseJson } from "../wire/json.ts";
import { findMembers, sliceSpan } from "../wire/splice.ts";

/** Bytes stored of each end of an answer: usage is at one of them, and megabytes of audio or vectors may be in between. */
const EDGE_BYTES = 64 * 1024;
/** Bytes searched again with the next block: more than any pattern below has, so that one split in two is found. */
const OVERLAP_BYTES = 256;

/** The last event of a stream, as OpenAI's completions, audio and image endpoints send it. */
const TERMINAL =
  /\[DONE\]|"type": ?"(transcript\.text\.done|speech\.audio\.done|image_(generation|edit)\.completed)"|"finish_reason": ?"/;
/** An error event within a stream. */
const FAILURE = /(^|\n)event: ?error\r?\n|(^|\n)data: ?\{"error":/;

/**
 * Reads along with an answer whose bytes are relayed unchanged: finds its usage, and how a stream ended. Memory does not
 * grow with the answer.
 */
export class AnswerScanner {
  hasTerminal = false;
  hasError = false;
  #first: Uint8Array = new Uint8Array(0);
  #last: Uint8Array = new Uint8Array(0);

  push(block: Uint8Array): void {
    const room = EDGE_BYTES - this.#first.length;
    if (room > 0) this.#first = concatBytes([this.#first, block.slice(0, room)]);
    const seam = this.#last.subarray(-OVERLAP_BYTES);
    const text = decodeUtf8(concatBytes([seam, block]));
    this.hasTerminal ||= TERMINAL.test(text);
    this.hasError ||= FAILURE.test(text);
    this.#last = concatBytes([this.#last, block]).slice(-EDGE_BYTES);
  }

  /** The answer's usage as far as its stored ends contain it, else empty. */
  get usage(): Usage {
    const native = findUsage(decodeUtf8(this.#last)) ?? findUsage(decodeUtf8(this.#first));
    return native === undefined ? {} : decodeUsage(native);
  }
}

/** Quotes inside JSON strings are escaped, so an unescaped quoted name before a colon is a member's name. */
const USAGE = /(?<!\\)"(usage|usageMetadata)"\s*:\s*(?=\{)/g;

function findUsage(text: string): Json | undefined {
  const found = [...text.matchAll(USAGE)].at(-1);
  if (found === undefined) return undefined;
  const start = found.index + found[0].length;
  try {
    const end = text.indexOf("}", findMembers(text, start).at(-1)?.end ?? start) + 1;
    return tryParseJson(sliceSpan(text, { start, end }));
  } catch {
    return undefined;
  }
}

/** Decodes OpenAI's two forms of usage and Gemini's. Usage in seconds or pictures has no tokens and stays in `native`. */
export function decodeUsage(native: Json | undefined): Usage {
  if (!isObject(native)) return {};
  const input = numberOf(native.prompt_tokens) ?? numberOf(native.input_tokens) ?? numberOf(native.promptTokenCount);
  const total = numberOf(native.total_tokens) ?? numberOf(native.totalTokenCount);
  const rest = input === undefined || total === undefined ? undefined : total - input;
  const output = numberOf(native.completion_tokens) ?? numberOf(native.output_tokens) ?? rest;
  const details = readDetails(native, ["prompt_tokens_details", "input_tokens_details", "input_token_details"]);
  const cached = numberOf(details.cached_tokens);
  const inputAudio = numberOf(details.audio_tokens);
  const outputAudio = numberOf(readDetails(native, ["output_tokens_details"]).audio_tokens);
  return {
    ...(input !== undefined && { fresh: input - (cached ?? 0) }),
    ...(cached !== undefined && { cacheRead: cached }),
    ...(output !== undefined && { output }),
    ...(inputAudio !== undefined && { inputAudio }),
    ...(outputAudio !== undefined && { outputAudio }),
    native,
  };
}

/** Whether the usage has image tokens. They have a price of their own that `Usage` cannot express: the cost is unknown. */
export const countsImages = ({ native }: Usage): boolean =>
  isObject(native) &&
  ["input_tokens_details", "output_tokens_details"].some((key) => {
    const tokens = readDetails(native, [key]).image_tokens;
    return typeof tokens === "number" && tokens > 0;
  });

/** The details under the first of these names: OpenAI's endpoints use different ones. */
const readDetails = (native: JsonObject, names: readonly string[]): JsonObject =>
  names.map((name) => native[name]).find(isObject) ?? {};
