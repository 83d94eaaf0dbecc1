import type { Blobs } from "../../store/blobs.ts";
import { sha256 } from "../../wire/hash.ts";
import { cutText, cutTextStart } from "../../wire/surrogates.ts";

/** Bytes of a result that are read and stored. */
export const MAX_RESULT_BYTES = 4 * 1024 * 1024;
/** Characters of a result that the model is shown: the beginning and the end of a longer one. */
export const MAX_SHOWN = 64 * 1024;

/** Characters of a result that its row has in full: all results of a run are read at each of its steps. */
const MAX_IN_ROW = 256 * 1024;

/** Where all of a long result is: among the texts of its session in R2, by its hash. */
export type FullResult = { blob: string; length: number };

/** Stores a long result in R2; its text is then what the model is shown of it. */
export async function storeLong<T extends { text: string }>(
  given: T,
  blobs: Blobs,
): Promise<T & { full?: FullResult }> {
  const { text } = given;
  if (text.length <= MAX_IN_ROW) return given;
  const full = { blob: sha256(text), length: text.length };
  await blobs.put(full.blob, text);
  return { ...given, text: toShown(text), full };
}

/**
 * A result as the model is shown it: all of it, or its beginning and its end with a notice between them. The only place where results
 * are cut.
 */
export function toShown(result: string): string {
  if (result.length <= MAX_SHOWN) return result;
  const half = MAX_SHOWN / 2;
  const left = result.length - MAX_SHOWN;
  return `${cutText(result, half)}\n\n[… ${left} characters of this result are left out …]\n\n${cutTextStart(result, half)}`;
}
