import { type Find, isDigit } from "./detect/find.ts";
import { MAX_IBAN } from "./detect/iban.ts";
import { openNameAt } from "./detect/names.ts";
import { MAX_HELD, type OpenSecret, goOn, openSecret } from "./detect/open-secret.ts";
import { openKeyAt } from "./detect/pem.ts";
import { findValues } from "./detector.ts";
import { endInOriginal, normalizeText, startInOriginal } from "./normal.ts";
import type { Rules } from "./rules.ts";

/** What has been decided of a text: all before `end`, with what was found there. Offsets are those of the whole text. */
export type Decided = { end: number; finds: DecidedFind[] };

/** `continues`: more of the value that the find before it is of; nothing stands for it. */
export type DecidedFind = Find & { continues?: true };

/** Characters before the undecided text that say what it is: the name of what is assigned, the word before a number. */
const CONTEXT = 128;
/** No value that is not known yet starts earlier before the end of a longer word. */
const REACH = 320;

/**
 * Reads a text piece by piece and finds what `findValues` finds in the whole, however it is cut. A piece is undecided as long as a
 * value may be under way in it: a word or a number that has not ended, a private key. Memory does not depend on the text's length.
 */
export class Window {
  readonly #rules: Rules;
  /** The undecided text, and its place. */
  #text = "";
  #at = 0;
  /** What stands before it, as detectors read it, and what was found there. */
  #context = "";
  #found: readonly Find[] = [];
  /** A secret that is longer than what is held. */
  #open: OpenSecret | undefined;

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  /** Characters that are undecided. */
  get held(): number {
    return this.#text.length;
  }

  push(piece: string): Decided {
    this.#text += piece;
    return this.#decide(false);
  }

  end(): Decided {
    return this.#decide(true);
  }

  #decide(isEnd: boolean): Decided {
    const finds: DecidedFind[] = [];
    if (this.#open !== undefined) this.#goOn(this.#open, isEnd, finds);
    if (this.#open === undefined && this.#text !== "") this.#scan(isEnd, finds);
    return { end: this.#at, finds };
  }

  #scan(isEnd: boolean, finds: DecidedFind[]): void {
    // A half of a character may be one that is not seen, inside a value.
    const size = this.#text.length - Number(!isEnd && /[\ud800-\udbff]$/.test(this.#text));
    const original = this.#text.slice(0, size);
    const normal = normalizeText(original);
    const before = this.#context.length;
    const whole = this.#context + normal.text;
    const found = findValues(whole, this.#rules, { from: before, finds: this.#found });
    const cut = isEnd ? whole.length : outside(found, Math.max(before, cutBefore(whole, this.#rules)));
    for (const { start, end, kind } of found) {
      const isOpen = end === whole.length && end - start > MAX_HELD && !isEnd;
      if (end > cut && !isOpen) continue;
      const place = { start: startInOriginal(normal, start - before), end: endInOriginal(normal, end - before) };
      finds.push({ start: this.#at + place.start, end: this.#at + place.end, kind });
      if (!isOpen) continue;
      this.#open = openSecret(whole.slice(start));
      this.#release(original.length, whole, found);
      return;
    }
    this.#release(cut === whole.length ? size : startInOriginal(normal, cut - before), whole.slice(0, cut), found);
  }

  /** What belongs to a secret whose start was decided before. */
  #goOn(open: OpenSecret, isEnd: boolean, finds: DecidedFind[]): void {
    const { end, isEnded } = goOn(open, this.#text, isEnd);
    if (end > 0) finds.push({ start: this.#at, end: this.#at + end, kind: "secret", continues: true });
    if (isEnded) this.#open = undefined;
    this.#release(
      end,
      this.#context + this.#text.slice(0, end),
      end === 0 ? [] : [{ start: this.#context.length, end: this.#context.length + end, kind: "secret" }],
    );
  }

  /** `read`: the context and what is decided now. `found`: in it. */
  #release(size: number, read: string, found: readonly Find[]): void {
    const gone = Math.max(0, read.length - CONTEXT);
    this.#text = this.#text.slice(size);
    this.#at += size;
    this.#context = read.slice(gone);
    this.#found = [...this.#found, ...found].flatMap(({ start, end, kind }) =>
      start < read.length && end > gone ? [{ start: Math.max(0, start - gone), end: end - gone, kind }] : [],
    );
  }
}

/** The place before which nothing can become a value by what follows. */
function cutBefore(text: string, rules: Rules): number {
  const held = heldFrom(text);
  const cut = text.length - held <= MAX_HELD ? held : Math.max(held, text.length - REACH);
  return Math.min(cut, listedFrom(text, rules), rules.allowed === undefined ? cut : listedFrom(text, rules.allowed));
}

/** Where a name of a list, or what a pattern finds, may be under way. */
function listedFrom(text: string, { names, patterns = [] }: Rules): number {
  const reach = Math.max(0, ...patterns.map((pattern) => pattern.reach));
  return Math.min(text.length - reach, names === undefined ? text.length : openNameAt(text, names));
}

/** No value is cut, nor are two that overlap parted. */
function outside(found: readonly Find[], cut: number): number {
  let place = cut;
  for (const { start, from = start, end } of found.toReversed()) if (from < place && place < end) place = from;
  return place;
}

/** Numbers in groups, and an extension that may follow. */
const NUMBER_TAIL = /[+(]{0,2}\d[\d+() .\-/]*(?:e?x?t?\.? ?\d{0,6})$/i;
const IBAN_TAIL = /(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9])*[ -]?$/;

/** Where the values start that may be under way at the end of a text. */
function heldFrom(text: string): number {
  const word = startOfWord(text, text.length);
  const number = startOfNumber(text, word);
  const iban = IBAN_TAIL.exec(text.slice(-MAX_IBAN));
  const ibanAt = iban === null ? text.length : Math.max(0, text.length - MAX_IBAN) + iban.index;
  return Math.min(number, ibanAt, openKeyAt(text));
}

/** A word has no spaces, no quotes and no letters of scripts that do not separate words. */
function startOfWord(text: string, end: number): number {
  let at = end;
  while (at > 0 && isInWord(text.charCodeAt(at - 1))) at--;
  return at;
}

const isInWord = (code: number): boolean =>
  (code > 32 && code < 127 && code !== 34 && code !== 39 && code !== 60 && code !== 62 && code !== 96) ||
  (code >= 0xc0 && code <= 0x24f);

/** The groups of digits that the last word may go on, and the word that the first of them stands in. */
function startOfNumber(text: string, word: number): number {
  let digits = word;
  while (isDigit(text.charCodeAt(digits))) digits++;
  return Math.min(word, startOfGroups(text, text.length), startOfGroups(text, digits));
}

function startOfGroups(text: string, end: number): number {
  const from = Math.max(0, end - MAX_HELD);
  const match = NUMBER_TAIL.exec(text.slice(from, end));
  if (match === null) return end;
  const at = from + match.index;
  return isDigit(text.charCodeAt(at)) ? startOfWord(text, at) : at;
}
