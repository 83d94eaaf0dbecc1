/**
 * The first `most` characters (UTF-16 code units) of a text; one less where this would cut a surrogate pair in two, which
 * no UTF-8 and few JSON readers accept.
 */
export const cutText = (text: string, most: number): string =>
  text.slice(0, text.length > most && isLeading(text.charCodeAt(most - 1)) ? most - 1 : most);

/** The last `most` characters of a text; one less, likewise. */
export const cutTextStart = (text: string, most: number): string => {
  const end = text.slice(Math.max(0, text.length - most));
  return isTrailing(end.charCodeAt(0)) ? end.slice(1) : end;
};

/**
 * JSON text as `JSON.stringify` writes it, with a replacement character (U+FFFD) for each half of a surrogate pair that
 * stands alone: providers refuse those with 400 ("unexpected end of hex escape", "no low surrogate in string").
 */
export const replaceHalfPairs = (json: string): string =>
  json.includes("\\ud") ? json.replace(ESCAPE, (found) => (found.startsWith("\\ud") ? "\ufffd" : found)) : json;

/** An escaped backslash, or a half: `JSON.stringify` writes whole pairs as characters. */
const ESCAPE = /\\\\|\\ud[89a-f][0-9a-f]{2}/g;

const isLeading = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;
const isTrailing = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;
