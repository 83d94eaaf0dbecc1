import type { Find } from "./find.ts";

/** An undecided text that is longer cannot become one value; only a secret is longer, and that is known by then. Characters. */
export const MAX_HELD = 2_048;

/** What a secret that is longer goes on with: a private key to its last line, any other to the end of its word. */
export type OpenSecret = "key" | "word";

export const openSecret = (secret: string): OpenSecret => (secret.startsWith("-----BEGIN ") ? "key" : "word");

const NOT_IN_WORD = /[^A-Za-z0-9_.~+/=-]/;
const NOT_IN_KEY = /[^A-Za-z0-9+/=\r\n\t \\-]/;
const LAST_LINE = /-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----/;
/** Characters of the longest last line. */
const MAX_LAST_LINE = 64;

/** How much of a text belongs to a secret that goes on in it; a last line that may be under way at its end is left. */
export function goOn(open: OpenSecret, text: string, isEnd: boolean): { end: number; isEnded: boolean } {
  const other = text.search(open === "key" ? NOT_IN_KEY : NOT_IN_WORD);
  const all = other < 0 ? text.length : other;
  if (open === "word") return { end: all, isEnded: other >= 0 || isEnd };
  const last = LAST_LINE.exec(text.slice(0, all));
  if (last !== null) return { end: last.index + last[0].length, isEnded: true };
  return other >= 0 || isEnd ? { end: all, isEnded: true } : { end: Math.max(0, all - MAX_LAST_LINE), isEnded: false };
}

/** A secret that is longer than what a stream holds back, as far as it goes on. */
export function toItsEnd(find: Find, text: string): Find {
  if (find.kind !== "secret" || find.end - find.start <= MAX_HELD) return find;
  const from = Math.max(find.start + MAX_HELD, find.end - MAX_LAST_LINE);
  const { end } = goOn(openSecret(text.slice(find.start, find.start + 11)), text.slice(from), true);
  return { ...find, end: Math.max(find.end, from + end) };
}
