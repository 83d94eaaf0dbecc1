import { isObject, type Json, type JsonObject } from "../wire/json.ts";

/** The body of a successful response if it is an error instead of an answer, as some hosts send it. */
export function findErrorBody(body: Json): JsonObject | undefined {
  if (!isObject(body)) return undefined;
  const { error, type, object } = body;
  const isError = isObject(error) || (typeof error === "string" && error !== "");
  return isError || type === "error" || object === "error" ? body : undefined;
}

/** The HTTP status of an error in a successful response, if its code is one; otherwise 502. */
export const statusOfCode = (code: Json | undefined): number =>
  typeof code === "number" && code >= 400 && code < 600 ? code : 502;
