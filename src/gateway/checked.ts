import type { z } from "zod";
import { GatewayError } from "../canonical/error.ts";

/** The value as the schema has it. Throws `request.invalid`, naming the field and what was expected. */
export function checked<T>(schema: z.ZodType<T>, value: unknown, at: readonly PropertyKey[] = []): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw refusalOf(result.error, at);
}

/** The first of a schema's complaints. */
export function refusalOf({ issues }: z.core.$ZodError, at: readonly PropertyKey[] = []): GatewayError {
  const issue = issues[0]!;
  const isUnknown = issue.code === "unrecognized_keys";
  const param = fieldName([...at, ...issue.path, ...(isUnknown ? issue.keys.slice(0, 1) : [])]) || "body";
  const expected = isUnknown ? "there is no such member" : issue.message.replace(/^Invalid (input|option): /, "");
  return new GatewayError("request.invalid", `${param}: ${expected}`, { param });
}

/** `messages[0].role` */
const fieldName = (path: readonly PropertyKey[]): string =>
  path.map((step, i) => (typeof step === "number" ? `[${step}]` : `${i > 0 ? "." : ""}${String(step)}`)).join("");
