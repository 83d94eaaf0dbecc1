import type { Find } from "./find.ts";

/** Names of a list by their first words, in small letters. `longest`: words of the longest. */
export type NameList = {
  byFirst: ReadonlyMap<string, readonly string[][]>;
  longest: number;
  unspaced: readonly string[];
};

/** Scripts that write no spaces between words: such a name is found anywhere, and separates words of others. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]/u;
const WORD =
  /[[\p{L}\p{M}\p{N}]--[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]]+/gv;
/** What may stand between the words of a name. */
const GAP = /^[\s.'’-]{1,3}$/;

type Word = { start: number; end: number; small: string };

const wordsOf = (text: string): Word[] =>
  Array.from(text.matchAll(WORD), ({ index, 0: word }) => ({
    start: index,
    end: index + word.length,
    small: word.toLowerCase(),
  }));

export function makeNameList(names: readonly string[]): NameList {
  const byFirst = new Map<string, string[][]>();
  const unspaced: string[] = [];
  for (const name of names.map((one) => one.normalize("NFKC"))) {
    if (UNSPACED.test(name)) {
      unspaced.push(name);
      continue;
    }
    const words = wordsOf(name).map(({ small }) => small);
    if (words.length > 0) byFirst.set(words[0]!, [...(byFirst.get(words[0]!) ?? []), words]);
  }
  // Of two names that start alike, the longer one.
  for (const list of byFirst.values()) list.sort((a, b) => b.length - a.length);
  const longest = Math.max(0, ...Array.from(byFirst.values(), (list) => list[0]!.length));
  return { byFirst, longest, unspaced };
}

/** Names of the list, in letters of any size, with any space, dash or apostrophe between their words. */
export function findNames(text: string, { byFirst, unspaced }: NameList, found: Find[]): void {
  for (const name of unspaced)
    for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + name.length))
      found.push({ start: at, end: at + name.length, kind: "name" });
  if (byFirst.size === 0) return;
  const words = wordsOf(text);
  for (let i = 0; i < words.length; i++) {
    const name = byFirst.get(words[i]!.small)?.find((one) => isAt(text, words, i, one));
    if (name === undefined) continue;
    const last = i + name.length - 1;
    found.push({ start: words[i]!.start, end: words[last]!.end, kind: "name" });
    i = last;
  }
}

function isAt(text: string, words: readonly Word[], from: number, name: readonly string[]): boolean {
  for (let k = 1; k < name.length; k++) {
    const [before, word] = [words[from + k - 1]!, words[from + k]];
    if (word === undefined || word.small !== name[k] || !GAP.test(text.slice(before.end, word.start))) return false;
  }
  return true;
}

/** Where a name starts that may go on behind the end of a text; its length if there is none. */
export function openNameAt(text: string, { byFirst, longest, unspaced }: NameList): number {
  let at = text.length;
  for (const name of unspaced)
    for (let size = Math.min(name.length - 1, text.length); size > 0; size--)
      if (text.endsWith(name.slice(0, size))) at = Math.min(at, text.length - size);
  if (byFirst.size === 0) return at;
  const tail = text.slice(-MAX_NAME);
  const words = wordsOf(tail);
  const gap = tail.slice(words.at(-1)?.end ?? tail.length);
  for (let i = Math.max(0, words.length - longest); i < words.length; i++)
    if ((byFirst.get(words[i]!.small) ?? []).some((name) => mayGoOn(tail, words.slice(i), name, gap)))
      return Math.min(at, text.length - tail.length + words[i]!.start);
  return at;
}

/** Characters of the longest name that a stream holds back. */
const MAX_NAME = 256;

/** Whether the last words are the first ones of a name; the very last may be unfinished. */
function mayGoOn(text: string, words: readonly Word[], name: readonly string[], gap: string): boolean {
  if (words.length > name.length || (gap !== "" && !GAP.test(gap))) return false;
  return words.every(({ small, start }, k) => {
    if (k > 0 && !GAP.test(text.slice(words[k - 1]!.end, start))) return false;
    return k === words.length - 1 && gap === "" ? name[k]!.startsWith(small) : name[k] === small;
  });
}
