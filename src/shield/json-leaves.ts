import { CLOSE_BRACE, CLOSE_BRACKET, findStringEnd, JsonError, OPEN_BRACE, OPEN_BRACKET, QUOTE } from "../wire/json.ts";
import { type Edit, sliceSpan, type Span } from "../wire/splice.ts";

/**
 * A string, number or key of a JSON text, where it stands there. `member`: the key of the member that it is the value of, or an
 * element of. `scope`: the object or array that it is in.
 */
export type Leaf = Span & { kind: "string" | "number" | "key"; member: string | undefined; scope: JsonScope };

/**
 * An object or an array of a JSON text. `member`: the key of the member that it is the value of; an element has none. `words`: how
 * the strings of the object start, by their keys, its numbers, and `true`: what says what kind of object it is. Known when all of it has
 * been read. `spelling`: log probabilities of tokens, which spell the texts beside them.
 */
export type JsonScope = {
  parent: JsonScope | undefined;
  member: string | undefined;
  isArray: boolean;
  start: number;
  end: number;
  words: Map<string, string>;
  spelling?: JsonScope;
};

/** Characters that say what kind an object is. */
const WORD = 64;

const NUMBER = /-?\d[\d.eE+-]*/y;
const COLON_NEXT = /\s*:/y;

/** All leaves of a JSON text but `true`, `false` and `null`, in their order. Throws `JsonError` where a string does not end. */
export function* listLeaves(json: string): Generator<Leaf> {
  const reader = new LeafReader(json);
  while (!reader.isAtEnd) {
    const leaf = reader.read();
    if (leaf !== undefined) yield leaf;
  }
}

class LeafReader {
  readonly #json: string;
  #at = 0;
  #scope = openScope(undefined, undefined, false, 0);
  /** The key whose value is next. */
  #key: string | undefined;

  constructor(json: string) {
    this.#json = json;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#json.length;
  }

  /** Reads on: a leaf, or undefined for a character of another kind. */
  read(): Leaf | undefined {
    const code = this.#json.charCodeAt(this.#at);
    if (code === QUOTE) return this.#readString();
    if ((code >= 48 && code <= 57) || code === 45) return this.#readNumber();
    if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      const key = this.#scope.isArray ? undefined : this.#key;
      this.#scope = openScope(this.#scope, key, code === OPEN_BRACKET, this.#at);
      this.#key = undefined;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) this.#close();
    else if (code === TRUE && this.#json.startsWith("true", this.#at)) this.#note("true");
    this.#at++;
    return undefined;
  }

  #readString(): Leaf {
    const [json, start] = [this.#json, this.#at];
    const end = findStringEnd(json, start);
    if (end < 0) throw new JsonError("a string does not end");
    this.#at = end;
    COLON_NEXT.lastIndex = end;
    if (!this.#scope.isArray && COLON_NEXT.test(json)) {
      this.#key = readLeaf(json, { start, end });
      return { kind: "key", member: undefined, scope: this.#scope, start, end };
    }
    this.#note(wordIn(json, start, end));
    return { kind: "string", member: this.#member, scope: this.#scope, start, end };
  }

  #readNumber(): Leaf | undefined {
    const start = this.#at;
    NUMBER.lastIndex = start;
    const isNumber = NUMBER.test(this.#json);
    this.#at = isNumber ? NUMBER.lastIndex : start + 1;
    // Vectors are long, and no value is a fraction.
    if (!isNumber || (this.#scope.isArray && /[.eE]/.test(this.#json.slice(start, this.#at)))) return undefined;
    this.#note(this.#json.slice(start, this.#at));
    return { kind: "number", member: this.#member, scope: this.#scope, start, end: this.#at };
  }

  get #member(): string | undefined {
    return this.#scope.isArray ? this.#scope.member : this.#key;
  }

  /** Notes how the member's value starts. */
  #note(word: string): void {
    if (this.#key !== undefined && !this.#scope.isArray) this.#scope.words.set(this.#key, word);
  }

  #close(): void {
    this.#scope.end = this.#at + 1;
    this.#key = this.#scope.member;
    this.#scope = this.#scope.parent ?? this.#scope;
  }
}

const SPELLINGS = new Set(["logprobs", "logprobsResult", "logprobs_result"]);
const TRUE = "t".charCodeAt(0);

/** How a string starts. */
function wordIn(json: string, start: number, end: number): string {
  const word = json.slice(start + 1, Math.min(end - 1, start + 1 + WORD));
  return word.includes("\\") ? readLeaf(json, { start, end }).slice(0, WORD) : word;
}

function openScope(
  parent: JsonScope | undefined,
  member: string | undefined,
  isArray: boolean,
  start: number,
): JsonScope {
  const scope: JsonScope = { parent, member, isArray, start, end: start, words: new Map() };
  if (parent !== undefined && member !== undefined && SPELLINGS.has(member)) parent.spelling = scope;
  return scope;
}

/** What a leaf says. Throws `JsonError` for an escape that JSON does not have. */
export function readLeaf(json: string, span: Span): string {
  const text = sliceSpan(json, span);
  if (!text.startsWith('"')) return text;
  return text.includes("\\") ? unescape(text) : text.slice(1, -1);
}

function unescape(literal: string): string {
  try {
    return JSON.parse(literal) as string;
  } catch {
    throw new JsonError("a string has an unknown escape");
  }
}

/** The edits of what a string says, inside its own JSON text: every other byte of it stays. */
export function toJsonEdits(json: string, leaf: Span, edits: readonly Edit[]): Edit[] {
  const literal = sliceSpan(json, leaf);
  const places = literal.includes("\\") ? placesOf(literal) : undefined;
  const placeOf = (at: number): number => leaf.start + (places?.[at] ?? at + 1);
  return edits.map(({ start, end, text }) => ({
    start: placeOf(start),
    end: placeOf(end),
    text: JSON.stringify(text).slice(1, -1),
  }));
}

/** Where each character of a string stands in its literal, and the closing quote. */
function placesOf(literal: string): number[] {
  const places: number[] = [];
  let at = 1;
  for (; at < literal.length - 1; at += literal[at] !== "\\" ? 1 : literal[at + 1] === "u" ? 6 : 2) places.push(at);
  places.push(at);
  return places;
}
