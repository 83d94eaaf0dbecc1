import { textOfBlocks } from "../../canonical/text.ts";
import type { Loss, ModelResponse } from "../../canonical/types.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { findMismatch } from "../../wire/json-schema.ts";
import { isObject, type JsonObject, tryParseJson } from "../../wire/json.ts";

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

/** What is wrong with the text; undefined if it is valid. */
function findProblem(schema: JsonObject, text: string): string | undefined {
  const answer = tryParseJson(text);
  return answer === undefined ? "it is not JSON" : findMismatch(schema, answer);
}
