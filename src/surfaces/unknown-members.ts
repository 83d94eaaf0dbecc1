import type { z } from "zod";
import { isObject, type JsonObject } from "../wire/json.ts";
import type { ParsedRequest } from "./request.ts";
import { describeIssue, fieldName, type Issue, toValidationError } from "./validate.ts";

/** `expected`: the words that the gateway knows there; absent if it does not know the member. */
export type UnknownMember = { at: string; expected?: string };

/**
 * The members and words of a request that the gateway does not know, so that they are lost in other dialects. Throws
 * `request.invalid` for a value of another type than the member has.
 */
export function listUnknownMembers({ surface, body }: Pick<ParsedRequest, "surface" | "body">): UnknownMember[] {
  const result = surface.dialect.layout.members?.safeParse(body);
  const issues = result?.error?.issues ?? [];
  const wrong = issues.filter((issue) => !isUnknown(issue));
  if (wrong.length > 0) throw toValidationError({ issues: wrong });
  return issues.flatMap((issue): UnknownMember[] => {
    if (issue.code === "custom") return [{ at: fieldName(issue.path) }];
    if (issue.code !== "unrecognized_keys")
      return [{ at: fieldName(issue.path), expected: describeIssue(issue).expected }];
    const owner = valueAt(body, issue.path);
    const keys = issue.keys.filter((key) => owner[key] !== null);
    return keys.map((key) => ({ at: fieldName([...issue.path, key]) }));
  });
}

/** An unknown name or word, and a form of a union that is wrong by nothing else. */
function isUnknown(issue: Issue): boolean {
  if (issue.code === "invalid_union")
    return issue.errors.some((form: readonly Issue[]) => form.length > 0 && form.every(isUnknown));
  if (issue.code === "custom") return issue.params?.isUnknown === true;
  return issue.code === "unrecognized_keys" || issue.code === "invalid_value";
}

const valueAt = (body: JsonObject, path: z.core.$ZodIssue["path"]): JsonObject =>
  path.reduce<JsonObject>((owner, step) => {
    const value = owner[String(step)];
    return isObject(value) ? value : {};
  }, body);
