import { CLOSE_BRACE, CLOSE_BRACKET, findStringEnd, JsonError, OPEN_BRACE, OPEN_BRACKET, QUOTE } from "./json.ts";

/**
 * Edits of JSON text that leave every other byte unchanged: `JSON.parse` → `JSON.stringify` would round big numbers,
 * merge duplicate keys and rewrite escapes. Offsets are UTF-16 code units of the text.
 */
export type Span = { start: number; end: number };
export type Member = Span & { key: string; value: Span };
export type Edit = Span & { text: string };

/** The members of the object that opens at `at`, in order, duplicates included. The text must be valid JSON. Throws `JsonError`. */
export function findMembers(text: string, at = skipSpace(text, 0)): Member[] {
  if (text.charCodeAt(at) !== OPEN_BRACE) throw new JsonError("expected an object");
  const found: Member[] = [];
  for (let next = skipSpace(text, at + 1); text.charCodeAt(next) !== CLOSE_BRACE;) {
    const keyEnd = findValueEnd(text, next);
    const valueStart = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const valueEnd = findValueEnd(text, valueStart);
    const key = JSON.parse(text.slice(next, keyEnd)) as string;
    found.push({ key, start: next, end: valueEnd, value: { start: valueStart, end: valueEnd } });
    next = skipComma(text, valueEnd);
  }
  return found;
}

/** The elements of the array that opens at `at`. The text must be valid JSON. Throws `JsonError`. */
export function findElements(text: string, at = skipSpace(text, 0)): Span[] {
  if (text.charCodeAt(at) !== OPEN_BRACKET) throw new JsonError("expected an array");
  const found: Span[] = [];
  for (let next = skipSpace(text, at + 1); text.charCodeAt(next) !== CLOSE_BRACKET;) {
    const end = findValueEnd(text, next);
    found.push({ start: next, end });
    next = skipComma(text, end);
  }
  return found;
}

/** Replaces the value of every member of that name: JSON parsers differ on which of several duplicates counts. */
export function replaceMember(all: readonly Member[], key: string, json: string): Edit[] {
  return all.filter((member) => member.key === key).map(({ value }) => ({ ...value, text: json }));
}

/**
 * Removes every member of these names, each with one comma: removed members at the start of the object with the comma
 * after them, all others with the comma before them.
 */
export function removeMember(all: readonly Member[], ...keys: readonly string[]): Edit[] {
  const firstRemaining = all.findIndex((member) => !keys.includes(member.key));
  return all.flatMap((member, i) => {
    if (!keys.includes(member.key)) return [];
    const leads = firstRemaining < 0 || i < firstRemaining;
    if (leads) return [{ start: member.start, end: all[i + 1]?.start ?? member.end, text: "" }];
    return [{ start: all[i - 1]!.end, end: member.end, text: "" }];
  });
}

/**
 * The object's text without the members `removed`, and with these values: of every member of the name, or of a new one at
 * the end. `members`: those of the text, from one scan of it.
 */
export function editMembers(
  text: string,
  members: readonly Member[],
  removed: readonly string[],
  values: readonly (readonly [key: string, json: string])[],
): string {
  const remaining = members.filter(({ key }) => !removed.includes(key));
  const missing = values.filter(([key]) => remaining.every((member) => member.key !== key));
  const added = missing.map(([key, json]) => `${JSON.stringify(key)}:${json}`).join(",");
  const end = members.at(-1)?.end ?? text.lastIndexOf("}");
  const comma = remaining.length > 0 && added !== "" ? "," : "";
  return splice(text, [
    ...removeMember(members, ...removed),
    ...values.flatMap(([key, json]) => replaceMember(remaining, key, json)),
    { start: end, end, text: comma + added },
  ]);
}

/** Adds a member at the end of an object. `close`: offset of its closing brace, by default the last one of the text. */
export function appendMember(text: string, key: string, json: string, close = text.lastIndexOf("}")): Edit {
  let last = close - 1;
  while (isSpace(text.charCodeAt(last))) last--;
  const comma = text.charCodeAt(last) === OPEN_BRACE ? "" : ",";
  return { start: last + 1, end: last + 1, text: `${comma}${JSON.stringify(key)}:${json}` };
}

/** Applies edits to the text. They may come in any order and must not overlap. */
export function splice(text: string, edits: readonly Edit[]): string {
  let out = "";
  let at = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    out += text.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return out + text.slice(at);
}

/** Whether the JSON text is null, an empty string or an empty array. */
export const isEmptyJson = (json: string): boolean => /^(null|""|\[\s*\])$/.test(json);

export const sliceSpan = (text: string, { start, end }: Span): string => text.slice(start, end);

function findValueEnd(text: string, at: number): number {
  const code = text.charCodeAt(at);
  if (code === QUOTE) return requireStringEnd(text, at);
  if (code !== OPEN_BRACE && code !== OPEN_BRACKET) return findLiteralEnd(text, at);
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) i = requireStringEnd(text, i) - 1;
    else if (c === OPEN_BRACE || c === OPEN_BRACKET) depth++;
    else if ((c === CLOSE_BRACE || c === CLOSE_BRACKET) && --depth === 0) return i + 1;
  }
  throw new JsonError("unexpected end of JSON");
}

function requireStringEnd(text: string, at: number): number {
  const end = findStringEnd(text, at);
  if (end < 0) throw new JsonError("unterminated string");
  return end;
}

const LITERAL = /[-+.\w]+/y;

function findLiteralEnd(text: string, at: number): number {
  LITERAL.lastIndex = at;
  if (!LITERAL.test(text)) throw new JsonError(`unexpected character at ${at}`);
  return LITERAL.lastIndex;
}

function skipComma(text: string, at: number): number {
  const next = skipSpace(text, at);
  return text[next] === "," ? skipSpace(text, next + 1) : next;
}

function skipSpace(text: string, at: number): number {
  while (isSpace(text.charCodeAt(at))) at++;
  return at;
}

const isSpace = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
