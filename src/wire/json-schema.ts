import { Validator } from "@cfworker/json-schema";
import { type Json, type JsonObject, roundNumbers } from "./json.ts";

/**
 * Why a value does not match a JSON Schema: the last error, which is the most specific one. Undefined if it matches, or if the schema
 * cannot be evaluated, for example for an unknown `$ref`.
 */
export function findMismatch(schema: JsonObject, value: Json): string | undefined {
  try {
    const { valid, errors } = new Validator(roundNumbers(schema) as object, "2020-12").validate(roundNumbers(value));
    return valid ? undefined : errors.map(({ instanceLocation, error }) => `${instanceLocation} ${error}`).at(-1);
  } catch {
    return undefined;
  }
}
