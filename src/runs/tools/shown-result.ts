import { cutText, cutTextStart } from "../../wire/surrogates.ts";

/** Bytes of a result that are read and stored. */
export const MAX_RESULT_BYTES = 4 * 1024 * 1024;
/** Characters of a result that the model is shown: the beginning and the end of a longer one. */
export const MAX_SHOWN = 64 * 1024;

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
