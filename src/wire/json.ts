/** JSON as values. Text is the form that keeps every byte: see `splice.ts` for changing it without parsing. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [member: string]: Json };

/** Deeper than any recorded request or tool schema by far, and shallow enough for every recursive reader. */
export const MAX_DEPTH = 256;

export class JsonError extends Error {
  override name = "JsonError";
}

/** Text → value. Throws `JsonError`, also where `JSON.parse` would eat the isolate's memory with nesting. */
export function parseJson(text: string): Json {
  if (!isShallow(text)) throw new JsonError(`nested deeper than ${MAX_DEPTH} levels`);
  try {
    return parse(text);
  } catch (cause) {
    throw new JsonError(cause instanceof Error ? cause.message : "not JSON");
  }
}

const parse = (text: string): Json =>
  (LONG_NUMBER.test(text) ? JSON.parse(text, reviveNumber) : JSON.parse(text)) as Json;

/**
 * Numbers that a double cannot hold stay the text they were (ECMAScript's `JSON.rawJSON`), so what is decoded and said
 * again does not round an id of 19 digits. The reviver is slow, hence the look before: most bodies have no such number.
 */
const LONG_NUMBER = /[:[,\s]-?\d(?:\.?\d){15}/;

function reviveNumber(_: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source;
  return typeof value === "number" && source !== undefined && source.length > 15 && String(value) !== source
    ? rawJson(source)
    : value;
}

const { rawJSON: rawJson } = JSON as typeof JSON & { rawJSON: (text: string) => object };

/** As `parseJson`, for text that may well be something else. */
export function tryParseJson(text: string): Json | undefined {
  if (!MAY_BE_JSON.test(text) || !isShallow(text)) return undefined;
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

/** Most of what is no JSON does not even begin like it, and an exception costs what kilobytes of parsing cost. */
const MAY_BE_JSON = /^\s*(?:["[{]|(?:-?\d[\d.eE+-]*|true|false|null)\s*$)/;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Absent is not null, and not undefined either: an object without its undefined members. */
export function withoutUndefined<T extends object>(members: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as T;
}

/** The values as JSON texts with commas between them: the inside of a JSON array. */
export const joinItems = (values: readonly unknown[]): string => values.map((value) => JSON.stringify(value)).join(",");

/** A member as text, whatever was sent for it: "" for nothing, JSON for what is no text. */
export function stringifyMember(value: Json | undefined): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value);
}

export const numberOf = (value: Json | undefined): number | undefined =>
  typeof value === "number" ? value : undefined;
export const stringOf = (value: Json | undefined): string | undefined =>
  typeof value === "string" ? value : undefined;
export const booleanOf = (value: Json | undefined): boolean | undefined =>
  typeof value === "boolean" ? value : undefined;

/** Counts open brackets outside strings; on text that is no JSON the answer means nothing, and `JSON.parse` says so. */
function isShallow(text: string): boolean {
  if (text.length <= MAX_DEPTH) return true;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = findStringEnd(text, at) - 1;
      if (at < 0) return true;
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (++depth > MAX_DEPTH) return false;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth--;
  }
  return true;
}

export const QUOTE = 0x22;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;
export const OPEN_BRACKET = 0x5b;
export const CLOSE_BRACKET = 0x5d;
const BACKSLASH = 0x5c;

/** Where the string that opens at `at` ends (behind its quote); -1 when it does not. Native search, not a loop over characters. */
export function findStringEnd(text: string, at: number): number {
  for (let quote = text.indexOf('"', at + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let first = quote;
    while (text.charCodeAt(first - 1) === BACKSLASH) first--;
    if ((quote - first) % 2 === 0) return quote + 1;
  }
  return -1;
}
