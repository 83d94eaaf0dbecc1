import type { Usage } from "../canonical/types.ts";
import { concatBytes, decodeUtf8 } from "../wire/bytes.ts";
import { isObject, type Json, type JsonObject, numberOf, tryParseJson } from "../wire/json.ts";
import { members, sliceOf } from "../wire/splice.ts";

/** Providers say what they counted at one of an answer's ends; between them may be megabytes of audio or vectors. */
const EDGE_BYTES = 64 * 1024;
/** Longer than any mark that is looked for: one that two blocks share is seen all the same. */
const OVERLAP_BYTES = 256;

/** The event after which a stream of this endpoint says nothing new. */
const TERMINAL =
  /\[DONE\]|"type": ?"(transcript\.text\.done|speech\.audio\.done|image_(generation|edit)\.completed)"|"finish_reason": ?"/;
const FAILURE = /(^|\n)event: ?error\r?\n|(^|\n)data: ?\{"error":/;

/** What reading along tells of an answer that passes natively: what was counted, and how a stream ended. Memory stays flat. */
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

  get usage(): Usage {
    const native = findUsage(decodeUtf8(this.#last)) ?? findUsage(decodeUtf8(this.#first));
    return native === undefined ? {} : decodeUsage(native);
  }
}

/** Within a JSON text a quote is escaped: what stands here unescaped and before a colon is a member's name. */
const USAGE = /(?<!\\)"(usage|usageMetadata)"\s*:\s*(?=\{)/g;

function findUsage(text: string): Json | undefined {
  const found = [...text.matchAll(USAGE)].at(-1);
  if (found === undefined) return undefined;
  const start = found.index + found[0].length;
  try {
    const end = text.indexOf("}", members(text, start).at(-1)?.end ?? start) + 1;
    return tryParseJson(sliceOf(text, { start, end }));
  } catch {
    return undefined;
  }
}

/** OpenAI's two spellings and Gemini's; what is counted in seconds or pictures has no tokens, and stays as it is. */
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

/** Tokens of pictures have a price of their own, which our buckets cannot say: such a call has no cost rather than a wrong one. */
export const countsPictures = ({ native }: Usage): boolean =>
  isObject(native) &&
  ["input_tokens_details", "output_tokens_details"].some((key) => {
    const tokens = readDetails(native, [key]).image_tokens;
    return typeof tokens === "number" && tokens > 0;
  });

/** OpenAI's own endpoints do not agree on the name. */
const readDetails = (native: JsonObject, names: readonly string[]): JsonObject =>
  names.map((name) => native[name]).find(isObject) ?? {};
