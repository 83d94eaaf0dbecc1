/** A text as detectors read it, and where the parts of it stand in the original, in their order; none: all at the same place. */
export type Normal = { text: string; parts: readonly Part[] };

/** `size`: of the one character of the original that it stands for; absent: the same characters. */
type Part = { at: number; original: number; size?: number };

const NOT_ASCII = /[^\0-\x7f]+/g;
/** Decimal digits of any script that NFKC leaves. */
const DIGIT = /(?![\uff10-\uff19\u{1d7ce}-\u{1d7ff}\u{1fbf0}-\u{1fbf9}])\p{Nd}/u;
/** A line's end as a program writes it: the letter is no part of the word that follows. */
const ESCAPE = /\\[nrt]/g;
/** Characters that are not seen: zero-width, direction marks, fillers, soft hyphens, variation selectors, tags. */
const INVISIBLE =
  /\u00ad|\u034f|\u061c|[\u115f\u1160]|[\u17b4\u17b5]|[\u180b-\u180f]|[\u200b-\u200f\u202a-\u202e\u2060-\u206f]|\u3164|[\ufe00-\ufe0f]|\ufeff|\uffa0|[\u{e0000}-\u{e0fff}]/u;
/** Dashes and minus signs, which NFKC leaves apart. */
const DASH = /[\u2010-\u2015\u2043\u2212\ufe58\ufe63\uff0d]/;

/**
 * The text in NFKC, character by character, without invisible ones and with one kind of dash: full-width digits, spaces of any
 * width and letters with an unseen character between them are read as people read them. A written `\\n` is a space.
 */
export function normalizeText(raw: string): Normal {
  const original = raw.includes("\\") ? raw.replace(ESCAPE, "\\ ") : raw;
  let text = "";
  let done = 0;
  const parts: Part[] = [];
  for (const { index, 0: run } of original.matchAll(NOT_ASCII)) {
    if (run.normalize("NFKC") === run && !INVISIBLE.test(run) && !DASH.test(run) && !DIGIT.test(run)) continue;
    parts.push({ at: text.length, original: done });
    text += original.slice(done, index);
    done = index;
    for (const character of run) {
      parts.push({ at: text.length, original: done, size: character.length });
      text += normalOf(character);
      done += character.length;
    }
  }
  if (parts.length === 0) return { text: original, parts };
  parts.push({ at: text.length, original: done });
  return { text: text + original.slice(done), parts };
}

function normalOf(character: string): string {
  if (INVISIBLE.test(character)) return "";
  if (DASH.test(character)) return "-";
  return DIGIT.test(character) ? String(valueOf(character)) : character.normalize("NFKC");
}

/** Digits of a script have places one behind the other, from 0 to 9. */
function valueOf(digit: string): number {
  const code = digit.codePointAt(0)!;
  let value = 0;
  while (value < 9 && DIGIT.test(String.fromCodePoint(code - value - 1))) value++;
  return value;
}

/** The place in the original of a place in the normal text. */
export function startInOriginal({ parts }: Normal, at: number): number {
  const part = partOf(parts, at);
  if (part === undefined) return at;
  return part.size === undefined ? part.original + at - part.at : part.original;
}

/** The same of an end: behind the character before it. */
export function endInOriginal({ parts }: Normal, end: number): number {
  const part = partOf(parts, end - 1);
  if (part === undefined) return end;
  return part.size === undefined ? part.original + end - part.at : part.original + part.size;
}

/** The last part that does not start behind a place. */
function partOf(parts: readonly Part[], at: number): Part | undefined {
  let low = 0;
  let high = parts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (parts[middle]!.at <= at) low = middle + 1;
    else high = middle;
  }
  return parts[low - 1];
}
