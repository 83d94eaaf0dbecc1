import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";

/** A text without other members: only such parts are joined. */
export const isPlain = (part: JsonObject): boolean =>
  typeof part.text === "string" && Object.keys(part).every((name) => name === "text" || name === "thought");

/** Consecutive plain texts of one kind become one part. */
export function joinPart(parts: readonly Json[], part: Json): Json[] {
  const last = parts.at(-1);
  const isSame = isObject(last) && isObject(part) && isPlain(last) && isPlain(part) && last.thought === part.thought;
  return isSame
    ? [...parts.slice(0, -1), { ...last, text: stringifyMember(last.text) + stringifyMember(part.text) }]
    : [...parts, part];
}
