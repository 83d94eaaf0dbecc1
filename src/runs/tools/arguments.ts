import { findMismatch } from "../../wire/json-schema.ts";
import { isObject, type Json, type JsonObject, tryParseJson } from "../../wire/json.ts";

/** Bytes of the arguments of one call, at most. */
export const MAX_ARGUMENT_BYTES = 256 * 1024;

/** Arguments that a tool takes, parsed; or what is wrong with them, for the model. */
export type ReadArguments = { args: JsonObject } | { problem: string };

/** Reads the arguments of a call as the model has written them. No text is no arguments. */
export function readArguments(text: string, schema: Json | undefined): ReadArguments {
  if (text.length > MAX_ARGUMENT_BYTES)
    return { problem: `the arguments have more than ${MAX_ARGUMENT_BYTES} characters` };
  const args = text.trim() === "" ? {} : tryParseJson(text);
  if (args === undefined) return { problem: "the arguments are not valid JSON" };
  if (!isObject(args)) return { problem: "the arguments are no JSON object" };
  const problem = isObject(schema) ? findMismatch(schema, args) : undefined;
  return problem === undefined ? { args } : { problem: `the arguments do not match the tool's schema: ${problem}` };
}
