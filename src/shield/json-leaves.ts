import { CLOSE_BRACE, CLOSE_BRACKET, findStringEnd, JsonError, OPEN_BRACE, OPEN_BRACKET, QUOTE } from "../wire/json.ts";
import { type Edit, sliceSpan, type Span } from "../wire/splice.ts";

/**
 * A string, number or key of a JSON text, where it stands there. `member`: the key of the member that it is the value of, or an
 * element of.
 */
export type Leaf = Span & { kind: "string" | "number" | "key"; member: string | undefined };

const NUMBER = /-?\d[\d.eE+-]*/y;
const COLON_NEXT = /\s*:/y;

/** All leaves of a JSON text but `true`, `false` and `null`, in their order. Throws `JsonError` where a string does not end. */
export function* listLeaves(json: string): Generator<Leaf> {
  /** For each open object and array, the key that its values have. */
  const open: (string | undefined)[] = [undefined];
  for (let at = 0; at < json.length;) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) {
      const end = findStringEnd(json, at);
      if (end < 0) throw new JsonError("a string does not end");
      COLON_NEXT.lastIndex = end;
      const isKey = COLON_NEXT.test(json);
      yield { kind: isKey ? "key" : "string", member: isKey ? undefined : open.at(-1), start: at, end };
      if (isKey) open[open.length - 1] = readLeaf(json, { start: at, end });
      at = end;
      continue;
    }
    NUMBER.lastIndex = at;
    if (((code >= 48 && code <= 57) || code === 45) && NUMBER.test(json)) {
      yield { kind: "number", member: open.at(-1), start: at, end: NUMBER.lastIndex };
      at = NUMBER.lastIndex;
      continue;
    }
    if (code === OPEN_BRACE) open.push(undefined);
    else if (code === OPEN_BRACKET) open.push(open.at(-1));
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) open.pop();
    at++;
  }
}

/** What a leaf says. */
export function readLeaf(json: string, span: Span): string {
  const text = sliceSpan(json, span);
  if (!text.startsWith('"')) return text;
  return text.includes("\\") ? (JSON.parse(text) as string) : text.slice(1, -1);
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
