import { isObject, type Json, type JsonObject } from "../wire/json.ts";

/** A parameter that is also sent as a header. `path`: the names of the properties that lead to it. */
export type ParamHeader = { header: string; path: readonly string[] };

const ANNOTATION = "x-mcp-header";
/** `token` of RFC 9110, section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const TYPES = new Set<Json | undefined>(["string", "integer", "boolean"]);
/** Keywords whose members are schemas by a name of their own. */
const NAMED = new Set(["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"]);
/** Keywords whose value is data, and no schema. */
const DATA = new Set(["const", "enum", "default", "example", "examples"]);

/**
 * The parameters of a tool that are mirrored to headers (MCP 2026-07-28, "Custom headers from tool parameters"). Undefined: one breaks
 * the rules, and the tool must not be used. Only properties that are reached through `properties` alone may have an annotation.
 */
export function findParamHeaders(inputSchema: JsonObject): ParamHeader[] | undefined {
  const found: ParamHeader[] = [];
  if (!collect(inputSchema, [], found)) return undefined;
  const names = new Set(found.map(({ header }) => header.toLowerCase()));
  return names.size === found.length ? found : undefined;
}

/** Adds the annotations of a schema and of its properties; false: one breaks the rules. */
function collect(schema: JsonObject, path: readonly string[], found: ParamHeader[]): boolean {
  if (Object.hasOwn(schema, ANNOTATION)) {
    const name = schema[ANNOTATION];
    if (path.length === 0 || typeof name !== "string" || !TOKEN.test(name) || !TYPES.has(schema["type"])) return false;
    found.push({ header: `mcp-param-${name}`, path });
  }
  return Object.entries(schema).every(([keyword, value]) =>
    keyword === "properties" && isObject(value)
      ? Object.entries(value).every(
          ([name, property]) => !isObject(property) || collect(property, [...path, name], found),
        )
      : !hasAnnotation(keyword, value),
  );
}

/** Whether the value of a keyword has an annotation anywhere. */
function hasAnnotation(keyword: string, value: Json): boolean {
  if (DATA.has(keyword) || typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some((each) => hasAnnotation("", each));
  if (NAMED.has(keyword)) return Object.values(value).some((each) => hasAnnotation("", each));
  return Object.hasOwn(value, ANNOTATION) || Object.entries(value).some(([key, each]) => hasAnnotation(key, each));
}

/** The headers of a call. A parameter without a value has none, and one with an object, an array or a fraction. */
export function paramHeadersOf(inputSchema: JsonObject, args: JsonObject): Record<string, string> {
  const headers = findParamHeaders(inputSchema) ?? [];
  return Object.fromEntries(
    headers.flatMap(({ header, path }) => {
      const value = path.reduce<Json | undefined>(
        (at, name) => (isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined),
        args,
      );
      const text = typeof value === "string" ? value : isSimple(value) ? String(value) : undefined;
      return text === undefined ? [] : [[header, encodeHeader(text)]];
    }),
  );
}

const isSimple = (value: Json | undefined): value is number | boolean =>
  typeof value === "boolean" || Number.isSafeInteger(value);

const PLAIN = /^(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?$/;
const SENTINEL = /^=\?base64\?.*\?=$/;

/** A text as the value of a header: itself, or base64 of its UTF-8 between `=?base64?` and `?=` (MCP 2026-07-28, "Value encoding"). */
export const encodeHeader = (text: string): string =>
  PLAIN.test(text) && !SENTINEL.test(text) ? text : `=?base64?${Buffer.from(text).toString("base64")}?=`;

/** The inverse of `encodeHeader`. */
export const decodeHeader = (value: string): string =>
  SENTINEL.test(value) ? Buffer.from(value.slice("=?base64?".length, -"?=".length), "base64").toString() : value;
