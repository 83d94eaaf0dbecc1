import { format, Validator } from "@cfworker/json-schema";
import { type BoundedSchema, boundSchema, matchLinear, TooManySteps } from "./bounded-schema.ts";
import { type Json, type JsonObject, roundNumbers } from "./json.ts";

export { loadPatterns } from "./bounded-schema.ts";

/**
 * Why a value does not match a JSON Schema: the last error, which is the most specific one. Undefined if it matches, or if the schema
 * cannot be evaluated, for example for an unknown `$ref`. Takes a bounded time with any schema. Patterns are tested once
 * `loadPatterns` has resolved, but for those with look-around or back references.
 */
export function findMismatch(schema: JsonObject, value: Json): string | undefined {
  let formats: BoundedSchema["formats"] = {};
  try {
    const rounded = roundNumbers(value);
    const bounded = boundSchema(roundNumbers(schema) as JsonObject, rounded, matchLinear);
    ({ formats } = bounded);
    // The validator's table of formats is the only way to it.
    Object.assign(format, formats);
    const { valid, errors } = new Validator(bounded.schema, "2020-12").validate(rounded);
    return valid ? undefined : errors.map(({ instanceLocation, error }) => `${instanceLocation} ${error}`).at(-1);
  } catch (thrown) {
    return thrown instanceof TooManySteps ? "checking it against the schema takes too many steps" : undefined;
  } finally {
    for (const name of Object.keys(formats)) delete (format as Record<string, unknown>)[name];
  }
}
