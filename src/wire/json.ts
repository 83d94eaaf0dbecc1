/** JSON as parsed values. Parsing loses the exact bytes: `splice.ts` edits JSON text without parsing it. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [member: string]: Json };

/** Deepest nesting that is accepted. Far deeper than any recorded request or tool schema, and safe for recursive functions. */
export const MAX_DEPTH = 256;

/** Text that is not JSON, or not the JSON that was expected. */
export class JsonError extends Error {
  override name = "JsonError";
}

/** Text → value. Throws `JsonError` on invalid JSON, and on nesting so deep that `JSON.parse` could exhaust the isolate's memory. */
export function parseJson(text: string): Json {
  if (!isShallow(text)) throw tooDeep();
  return parseShallow(text, LONG_NUMBER.test(text));
}

/** As `parseJson`, for text that is known to nest at most `MAX_DEPTH` deep, and to have a number of 16 digits or not. */
export function parseShallow(text: string, hasLongNumber: boolean): Json {
  try {
    return parse(text, hasLongNumber);
  } catch (cause) {
    throw new JsonError(cause instanceof Error ? cause.message : "not JSON");
  }
}

export const tooDeep = (): JsonError => new JsonError(`nested deeper than ${MAX_DEPTH} levels`);

const parse = (text: string, hasLongNumber: boolean): Json =>
  (hasLongNumber ? JSON.parse(text, reviveNumber) : JSON.parse(text)) as Json;

/**
 * Matches JSON that may hold a number of 16 digits or more. A double cannot represent all of these, so they are parsed to
 * their source text (ECMAScript's `JSON.rawJSON`) and encode unchanged: an id of 19 digits is not rounded. The reviver is
 * slow, and most bodies have no such number, hence this test first.
 */
const LONG_NUMBER = /[:[,\s]-?\d(?:\.?\d){15}/;

function reviveNumber(_: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source;
  return typeof value === "number" && source !== undefined && source.length > 15 && String(value) !== source
    ? rawJson(source)
    : value;
}

const { rawJSON: rawJson, isRawJSON } = JSON as typeof JSON & {
  rawJSON: (text: string) => object;
  isRawJSON: (value: unknown) => value is { rawJSON: string };
};

/** Whether it is a number that a double cannot represent; `rawJSON` is its source text. */
export const isRawJson = (value: unknown): value is { rawJSON: string } => isRawJSON(value);

/** Text → value, or undefined if it is not JSON. For text that often is not JSON: cheap to refuse. */
export function tryParseJson(text: string): Json | undefined {
  if (!MAY_BE_JSON.test(text) || !isShallow(text)) return undefined;
  try {
    return parse(text, LONG_NUMBER.test(text));
  } catch {
    return undefined;
  }
}

/** Rejects most other text by its first characters: an exception costs as much time as parsing kilobytes. */
const MAY_BE_JSON = /^\s*(?:["[{]|(?:-?\d[\d.eE+-]*|true|false|null)\s*$)/;

/** A number that a double cannot represent is none. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isRawJson(value);
}

/** A copy that keeps numbers which a double cannot represent, as `structuredClone` does not. */
export const copyJson = <Value extends Json>(value: Value): Value => parseJson(JSON.stringify(value)) as Value;

/** The value with every number as a double, for readers that know no others. */
export const roundNumbers = (value: Json): Json => JSON.parse(JSON.stringify(value)) as Json;

/** The object without its undefined members. Null members stay. */
export function withoutUndefined<T extends object>(members: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as T;
}

/** The row without its null members. */
export const withoutNull = (row: object): object =>
  Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));

/** The values as JSON texts with commas between them: the inside of a JSON array. */
export const joinItems = (values: readonly unknown[]): string => values.map((value) => JSON.stringify(value)).join(",");

/** A member as text: "" if it is absent or null, the string itself, JSON text for any other value. */
export function stringifyMember(value: Json | undefined): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value);
}

/** The value if it has the type, else undefined. A number that a double cannot represent is rounded. */
export const numberOf = (value: Json | undefined): number | undefined =>
  typeof value === "number" ? value : isRawJson(value) ? Number(value.rawJSON) : undefined;
/** The entry of a table for a text from outside: names that every object has, as `constructor`, are none of its entries. */
export const lookUp = <T>(table: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(table, key) ? table[key] : undefined;

export const stringOf = (value: Json | undefined): string | undefined =>
  typeof value === "string" ? value : undefined;
export const booleanOf = (value: Json | undefined): boolean | undefined =>
  typeof value === "boolean" ? value : undefined;

/** Whether brackets outside strings nest at most `MAX_DEPTH` deep. Meaningless on invalid JSON, which `JSON.parse` rejects. */
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

/**
 * Offset just after the closing quote of the string that opens at `at`; -1 if it is not closed. Uses the native search for
 * quotes, which is faster than a loop over characters.
 */
export function findStringEnd(text: string, at: number): number {
  for (let quote = text.indexOf('"', at + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let first = quote;
    while (text.charCodeAt(first - 1) === BACKSLASH) first--;
    if ((quote - first) % 2 === 0) return quote + 1;
  }
  return -1;
}
