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
  // Which of the two a tool takes is not known, so that no rule about them could hold.
  if (repeatsKey(text, args)) return { problem: "a member of the arguments is there twice" };
  const problem = isObject(schema) ? findMismatch(schema, args) : undefined;
  return problem === undefined ? { args } : { problem: `the arguments do not match the tool's schema: ${problem}` };
}

/** Whether an object in a JSON text has a key twice: then the text has more keys than what was read from it. */
function repeatsKey(text: string, read: Json): boolean {
  let written = 0;
  for (const [, colon] of text.matchAll(STRINGS)) if (colon !== undefined) written++;
  return written !== countKeys(read);
}

/** Each string of a JSON text, with the colon behind it if it is a key. */
const STRINGS = /"(?:[^"\\]|\\.)*"(\s*:)?/g;

function countKeys(value: Json): number {
  if (typeof value !== "object" || value === null) return 0;
  if (Array.isArray(value)) return value.reduce<number>((sum, each) => sum + countKeys(each), 0);
  if (!isObject(value)) return 0;
  return Object.values(value).reduce<number>((sum, each) => sum + 1 + countKeys(each), 0);
}
