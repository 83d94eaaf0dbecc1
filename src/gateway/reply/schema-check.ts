import { Validator } from "@cfworker/json-schema";
import type { Loss, ModelResponse } from "../../canonical/types.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { textOfBlocks } from "../../canonical/text.ts";

/**
 * Where an answer strays from the schema it was asked for: the caller's own, not what was lowered for the provider.
 * A provider of the caller's own wire has had that very schema and has the say on it: it is not looked at.
 */
export function checkSchema(request: ParsedRequest, { messages, finish }: ModelResponse): Loss[] {
  if (finish.reason !== "stop") return [];
  const { format } = request.request;
  if (format?.type !== "json_schema" || !isObject(format.schema)) return [];
  const text = textOfBlocks(messages.flatMap(({ blocks }) => blocks));
  const why = findProblem(format.schema, text);
  return why === undefined
    ? []
    : [{ at: "format", what: "approximated", why: `the answer does not keep to its schema: ${why}` }];
}

function findProblem(schema: object, text: string): string | undefined {
  const answer = tryParseJson(text);
  if (answer === undefined) return "it is not JSON";
  try {
    const { valid, errors } = new Validator(schema, "2020-12").validate(answer);
    return valid ? undefined : errors.map(({ instanceLocation, error }) => `${instanceLocation} ${error}`).at(-1);
  } catch {
    // A schema that cannot be followed (an unknown $ref, say) judges nothing.
    return undefined;
  }
}
