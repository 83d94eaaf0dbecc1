import { isDigit, isWordCharacter } from "./find.ts";

/** Digits that stand together. `before`: what stands between them and the digits before. */
export type Group = { start: number; end: number; before: string };

/** Characters before a number that say what it is. */
export const CONTEXT_LENGTH = 48;

/** A text without what is something already, and the characters before a place of it, with that. */
export type Place = { text: string; before: (at: number) => string };

const RUN = /\d(?:[ ().\-/+]{0,3}\d)*/g;
/** Fewer digits are no number of anybody. */
const MIN_DIGITS = 7;

/** The groups of each run of digits, spaces and separators that is long enough. `original`: the text with everything in it. */
export function* listRuns(text: string, original: string): Generator<Group[]> {
  for (const { index, 0: run } of text.matchAll(RUN))
    if (run.length >= MIN_DIGITS) {
      const groups = toGroups(run, index);
      // Digits of a word are no number: `a1b22`, `0x1f`.
      if (isWordCharacter(original.charCodeAt(index - 1))) groups.shift();
      const end = index + run.length;
      if (isWordCharacter(original.charCodeAt(end)) && !EXTENSION.test(text.slice(end, end + 8))) groups.pop();
      if (groups.length > 0) yield groups;
    }
}

/** A telephone's extension: `x123`. */
export const EXTENSION = /^ ?(?:x|ext\.? ?)\d{1,6}(?!\w)/i;

function toGroups(run: string, offset: number): Group[] {
  const groups: Group[] = [];
  let before = "";
  for (let i = 0; i < run.length;) {
    const start = i;
    while (i < run.length && isDigit(run.charCodeAt(i))) i++;
    groups.push({ start: offset + start, end: offset + i, before });
    const gap = i;
    while (i < run.length && !isDigit(run.charCodeAt(i))) i++;
    before = run.slice(gap, i);
  }
  return groups;
}

export const sizeOf = ({ start, end }: Group): number => end - start;
