import { Validator } from "@cfworker/json-schema";
import { textOfBlocks } from "../../canonical/text.ts";
import type { Loss, ModelResponse } from "../../canonical/types.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { isObject, type JsonObject, roundNumbers, tryParseJson } from "../../wire/json.ts";

/**
 * A loss if the answer does not match the JSON schema of the request. The caller's schema is checked, not the reduced
 * one that was sent to the provider. Answers of a provider of the caller's dialect need no check: it enforces the
 * schema itself.
 */
export function checkSchema(request: ParsedRequest, { messages, finish }: ModelResponse): Loss[] {
  if (finish.reason !== "stop") return [];
  const { format } = request.request;
  if (format?.type !== "json_schema" || !isObject(format.schema)) return [];
  const text = textOfBlocks(messages.flatMap(({ blocks }) => blocks));
  const why = findProblem(format.schema, text);
  return why === undefined
    ? []
    : [{ at: "format", what: "approximated", why: `the answer does not match its schema: ${why}` }];
}

/** The last validation error of the text, which is the most specific one; undefined if the text is valid. */
function findProblem(schema: JsonObject, text: string): string | undefined {
  const answer = tryParseJson(text);
  if (answer === undefined) return "it is not JSON";
  try {
    const { valid, errors } = new Validator(roundNumbers(schema) as object, "2020-12").validate(roundNumbers(answer));
    return valid ? undefined : errors.map(({ instanceLocation, error }) => `${instanceLocation} ${error}`).at(-1);
  } catch {
    // A schema that cannot be evaluated, for example with an unknown $ref, finds no problem.
    return undefined;
  }
}
