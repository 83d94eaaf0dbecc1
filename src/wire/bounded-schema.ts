import type { RE2JS } from "re2js";
import { isObject, type Json, type JsonObject } from "./json.ts";

/** Whether a text has a match of the pattern; undefined: not every text can be tested for it in linear time. */
export type MatchPattern = (pattern: string, text: string) => boolean | undefined;

/** A copy of a schema for a validator, whose evaluation takes a bounded time. `formats`: what its strings are tested by, by the format's name. */
export type BoundedSchema = { schema: object; formats: Record<string, (text: string) => boolean> };

/** Evaluations of a schema object. */
const MAX_STEPS = 100_000;
/** Levels of a schema and of a value: a validator has a path for each. */
const MAX_DEPTH = 128;
/** Items of an array that are compared with one another. */
const MAX_UNIQUE = 1_000;

/** Keywords whose values are schemas, lists of schemas, or schemas by names (JSON Schema 2020-12 and the drafts before). */
const ONE = new Set(
  "additionalItems unevaluatedItems items contains additionalProperties unevaluatedProperties propertyNames not if then else".split(
    " ",
  ),
);
const LIST = new Set(["prefixItems", "items", "allOf", "anyOf", "oneOf"]);
const MAP = new Set(["$defs", "definitions", "properties", "dependentSchemas", "dependencies"]);

/** Thrown by the copy. */
export class TooManySteps extends Error {}

/**
 * Copies a schema for one value. Patterns are tested by `match`, as formats: those of a validator may take exponential time. A pattern
 * that `match` does not know is not tested. `patternProperties` become properties: those that the value has. Each evaluation counts,
 * and the copy throws `TooManySteps` beyond a limit: references alone can make a small schema take for ever.
 */
export function boundSchema(schema: JsonObject, value: Json, match: MatchPattern): BoundedSchema {
  const { names, longest, deepest } = measure(value);
  if (deepest > MAX_DEPTH) throw new TooManySteps();
  const formats: BoundedSchema["formats"] = {};
  let steps = 0;
  let depth = 0;
  const copy = (node: Json): unknown => {
    if (!isObject(node)) return node;
    if (++depth > MAX_DEPTH) throw new TooManySteps();
    const copied = copyObject(node);
    depth--;
    return copied;
  };
  const copyObject = (node: JsonObject): object => {
    const { type, pattern, patternProperties, ...keywords } = node;
    const copied: Record<string, unknown> = {};
    for (const [key, member] of Object.entries(keywords)) copied[key] = copyMember(key, member);
    if (longest > MAX_UNIQUE) delete copied.uniqueItems;
    if (typeof pattern === "string") {
      const name = `pattern ${pattern}`;
      formats[name] = (text) => match(pattern, text) ?? true;
      copied.allOf = [...((copied.allOf as unknown[] | undefined) ?? []), { format: name }];
    }
    if (isObject(patternProperties)) addNamed(copied, patternProperties);
    Object.defineProperty(copied, "type", {
      enumerable: true,
      get: () => {
        if (++steps > MAX_STEPS) throw new TooManySteps();
        return type;
      },
    });
    return copied;
  };
  const copyMember = (key: string, member: Json): unknown => {
    if (LIST.has(key) && Array.isArray(member)) return member.map(copy);
    if (ONE.has(key)) return copy(member);
    if (MAP.has(key) && isObject(member)) return mapValues(member, copy);
    return member;
  };
  /** Adds the schemas of `patternProperties` for the names that the value has. */
  const addNamed = (copied: Record<string, unknown>, patterns: JsonObject): void => {
    const properties: Record<string, unknown> = Object.assign(Object.create(null), copied.properties);
    for (const [pattern, member] of Object.entries(patterns)) {
      const matches = [...names].filter((name) => match(pattern, name) === true);
      for (const name of matches) {
        const own = properties[name];
        properties[name] = { allOf: [...(own === undefined ? [] : [own]), copy(member)] };
      }
      // What an unknown pattern allows is not known.
      if (match(pattern, "") === undefined)
        for (const keyword of ["additionalProperties", "unevaluatedProperties"]) delete copied[keyword];
    }
    copied.properties = properties;
  };
  return { schema: copy(schema) as object, formats };
}

const mapValues = (map: JsonObject, change: (value: Json) => unknown): Record<string, unknown> =>
  Object.fromEntries(Object.entries(map).map(([name, value]) => [name, change(value)]));

/** The names of all members in a value, the length of its longest array, and its levels. */
function measure(value: Json): { names: Set<string>; longest: number; deepest: number } {
  const names = new Set<string>();
  let longest = 0;
  let deepest = 0;
  for (const open: { node: Json; level: number }[] = [{ node: value, level: 0 }]; open.length > 0;) {
    const { node, level } = open.pop()!;
    if (typeof node !== "object" || node === null) continue;
    deepest = Math.max(deepest, level);
    if (Array.isArray(node)) longest = Math.max(longest, node.length);
    else for (const name of Object.keys(node)) names.add(name);
    for (const member of Object.values(node)) open.push({ node: member!, level: level + 1 });
  }
  return { names, longest, deepest };
}

let engine: typeof RE2JS | undefined;
const COMPILED = new Map<string, RE2JS | undefined>();
const MAX_COMPILED = 500;
/** Longer patterns are not tested. Characters. */
const MAX_PATTERN = 1_000;

/** Loads the engine that `matchLinear` needs, if a schema has patterns. It takes a few milliseconds, once. */
export async function loadPatterns(...schemas: readonly unknown[]): Promise<void> {
  if (engine === undefined && JSON.stringify(schemas).includes('"pattern')) engine = (await import("re2js")).RE2JS;
}

/** By RE2, which takes linear time and knows no look-around and no back references. */
export const matchLinear: MatchPattern = (pattern, text) => {
  if (engine === undefined) return undefined;
  if (!COMPILED.has(pattern)) {
    if (COMPILED.size >= MAX_COMPILED) COMPILED.clear();
    COMPILED.set(pattern, compile(pattern, engine));
  }
  return COMPILED.get(pattern)?.test(text);
};

function compile(pattern: string, re2: typeof RE2JS): RE2JS | undefined {
  if (pattern.length > MAX_PATTERN) return undefined;
  try {
    return re2.compile(re2.translateRegExp(pattern));
  } catch {
    return undefined;
  }
}
