import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  findStringEnd,
  JsonError,
  MAX_DEPTH,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  tooDeep,
} from "./json.ts";
import type { Member, Span } from "./splice.ts";

/** A top-level member; `elements`: those of its value, if it is an array. */
export type ScannedMember = Member & { elements?: readonly Span[] };

/**
 * What one pass over the text of a JSON object finds. `hasLongNumber`: it may have a number of 16 digits or more, which a
 * double cannot represent.
 */
export type ScannedObject = { members: readonly ScannedMember[]; hasLongNumber: boolean };

/**
 * Scans the text of a JSON object: its members and, one level deeper, the elements of arrays. Nothing is decoded but the
 * keys, and what is deeper need not be valid JSON. Throws `JsonError` for text that is no object, has anything behind it,
 * or nests deeper than `MAX_DEPTH`.
 */
export const scanObject = (text: string): ScannedObject => new Scanner(text).scan();

const COLON = 0x3a;
const COMMA = 0x2c;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
/** Digits of the shortest number that a double may not represent. */
const LONG = 16;

class Scanner {
  readonly #text: string;
  #at = 0;
  #hasLongNumber = false;

  constructor(text: string) {
    this.#text = text;
  }

  scan(): ScannedObject {
    this.#skipSpace();
    const members = this.#list(OPEN_BRACE, CLOSE_BRACE, () => this.#member());
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected();
    return { members, hasLongNumber: this.#hasLongNumber };
  }

  #member(): ScannedMember {
    const start = this.#at;
    if (this.#code !== QUOTE) throw this.#unexpected();
    this.#skipString();
    const key = this.#text.slice(start, this.#at);
    this.#skipSpace();
    this.#take(COLON);
    this.#skipSpace();
    const valueStart = this.#at;
    const elements = this.#elements();
    if (elements === undefined) this.#skipValue(1);
    const span = { start, end: this.#at, key: toKey(key), value: { start: valueStart, end: this.#at } };
    return elements === undefined ? span : { ...span, elements };
  }

  /** `undefined` if the value is no array. */
  #elements(): Span[] | undefined {
    if (this.#code !== OPEN_BRACKET) return undefined;
    return this.#list(OPEN_BRACKET, CLOSE_BRACKET, () => this.#element());
  }

  #element(): Span {
    const start = this.#at;
    this.#skipValue(2);
    return { start, end: this.#at };
  }

  /** The entries between two brackets, separated by commas. */
  #list<T>(open: number, close: number, entry: () => T): T[] {
    this.#take(open);
    const entries: T[] = [];
    this.#skipSpace();
    while (this.#code !== close) {
      if (entries.length > 0) {
        this.#take(COMMA);
        this.#skipSpace();
      }
      entries.push(entry());
      this.#skipSpace();
    }
    this.#at++;
    return entries;
  }

  /** `depth`: that of the value's parent. */
  #skipValue(depth: number): void {
    const code = this.#code;
    if (code === QUOTE) this.#skipString();
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) this.#skipNested(depth);
    else this.#skipLiteral();
  }

  #skipNested(outer: number): void {
    const text = this.#text;
    let depth = outer;
    for (; this.#at < text.length; this.#at++) {
      const code = text.charCodeAt(this.#at);
      if (code === QUOTE) {
        this.#skipString();
        this.#at--;
      } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
        if (++depth > MAX_DEPTH) throw tooDeep();
      } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
        if (--depth === outer) {
          this.#at++;
          return;
        }
      } else if (isDigit(code)) this.#skipDigits();
    }
    throw new JsonError("unexpected end of JSON");
  }

  /** Leaves the position at the last digit of a number. */
  #skipDigits(): void {
    const text = this.#text;
    let digits = 1;
    for (; ; this.#at++) {
      const next = text.charCodeAt(this.#at + 1);
      if (isDigit(next)) digits++;
      else if (next !== POINT) break;
    }
    if (digits >= LONG) this.#hasLongNumber = true;
  }

  #skipLiteral(): void {
    LITERAL.lastIndex = this.#at;
    const [literal] = LITERAL.exec(this.#text) ?? [];
    if (literal === undefined) throw this.#unexpected();
    if (literal.length >= LONG) this.#hasLongNumber = true;
    this.#at += literal.length;
  }

  #skipString(): void {
    const end = findStringEnd(this.#text, this.#at);
    if (end < 0) throw new JsonError("unterminated string");
    this.#at = end;
  }

  #skipSpace(): void {
    for (let code = this.#code; code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09; code = this.#code)
      this.#at++;
  }

  #take(code: number): void {
    if (this.#code !== code) throw this.#unexpected();
    this.#at++;
  }

  get #code(): number {
    return this.#text.charCodeAt(this.#at);
  }

  #unexpected(): JsonError {
    return new JsonError(
      this.#at < this.#text.length ? `unexpected character at ${this.#at}` : "unexpected end of JSON",
    );
  }
}

/** A number, `true`, `false` or `null`. */
const LITERAL = /-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null/y;

const isDigit = (code: number): boolean => code >= ZERO && code <= NINE;

/** Throws for a key with an invalid escape or a control character, as `JSON.parse` does. */
function toKey(literal: string): string {
  try {
    return JSON.parse(literal) as string;
  } catch (cause) {
    throw new JsonError(cause instanceof Error ? cause.message : "not JSON");
  }
}
