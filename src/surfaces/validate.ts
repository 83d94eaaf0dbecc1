import type { z } from "zod";
import { GatewayError } from "../canonical/error.ts";

/**
 * Returns the value as the schema parses it. `at`: path of the value in the request. Throws `request.invalid`, naming
 * the field and what was expected.
 */
export function validate<T>(schema: z.ZodType<T>, value: unknown, at: readonly PropertyKey[] = []): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw toValidationError(result.error, at);
}

/** The first issue of a failed validation as the API's error. */
export function toValidationError(
  { issues }: Pick<z.core.$ZodError, "issues">,
  at: readonly PropertyKey[] = [],
): GatewayError {
  const { path, expected } = describeIssue(issues[0]!);
  const param = fieldName([...at, ...path]) || "body";
  return new GatewayError("request.invalid", `${param}: ${expected}`, { param });
}

export type Issue = z.core.$ZodIssue;
type IssueDescription = { path: readonly PropertyKey[]; expected: string };

/** The schema's own message if it starts with "expected", else a message for the kind of issue. */
export function describeIssue(issue: Issue): IssueDescription {
  const { path, message } = issue;
  if (issue.code === "unrecognized_keys")
    return { path: [...path, issue.keys[0]!], expected: "there is no such member" };
  if (issue.code === "invalid_union") {
    const inner = findClosestForm(issue.errors);
    if (inner !== undefined) return { path: [...path, ...inner.path], expected: inner.expected };
  }
  if (message.startsWith("expected")) return { path, expected: message };
  switch (issue.code) {
    case "too_small":
      return {
        path,
        expected: `expected ${formatBound(issue, issue.inclusive ? "at least" : "more than", issue.minimum)}`,
      };
    case "too_big":
      return {
        path,
        expected: `expected ${formatBound(issue, issue.inclusive ? "at most" : "less than", issue.maximum)}`,
      };
    case "not_multiple_of":
      return { path, expected: `expected a multiple of ${issue.divisor}` };
    case "invalid_format":
      return { path, expected: `expected ${issue.pattern ?? `a valid ${issue.format}`}` };
    case "invalid_key":
      return { path, expected: `expected another name: ${describeIssue(issue.issues[0]!).expected}` };
    case "invalid_union":
      return { path, expected: `expected ${describeForms(issue)}` };
    case "invalid_type":
      return { path, expected: withoutPrefix(message).replace(/^expected int, .*/, "expected a whole number") };
    default:
      return { path, expected: withoutPrefix(message) };
  }
}

/** Removes the kind of issue with which zod starts its messages ("Invalid input: expected …"). */
const withoutPrefix = (message: string): string => message.replace(/^[A-Z][a-z]+ [a-z]+: /, "");

/** What a union expects: the values of its discriminator, or else the expectation of each form. */
function describeForms(issue: Extract<Issue, { code: "invalid_union" }>): string {
  const options = "options" in issue ? (issue.options ?? []) : [];
  if (options.length > 0) return `one of ${options.filter((word) => word !== undefined).join(", ")}`;
  const expectations = issue.errors.flatMap(([first]) => (first === undefined ? [] : [describeIssue(first).expected]));
  return [...new Set(expectations.map((one) => one.replace(/^expected |, received .*$/g, "")))].join(", or ");
}

/**
 * Describes the issue of the union's form that the value resembles most: the one that failed deepest. `undefined` if
 * the value resembles none, or several forms equally with issues at different fields: the union's message is better then.
 */
function findClosestForm(forms: readonly (readonly Issue[])[]): IssueDescription | undefined {
  const firsts = forms.flatMap(([first]) => (first === undefined ? [] : [describeIssue(first)]));
  const [deepest] = firsts.toSorted((a, b) => b.path.length - a.path.length);
  if (deepest === undefined || deepest.path.length === 0) return undefined;
  const places = firsts.filter(({ path }) => path.length === deepest.path.length).map(({ path }) => fieldName(path));
  return new Set(places).size === 1 ? deepest : undefined;
}

/** The unit of a size, by zod's `origin`. */
const UNIT: Record<string, string> = { string: "character", array: "item", set: "item", map: "pair", file: "byte" };

function formatBound({ origin }: { origin: string }, bound: string, size: number | bigint): string {
  const unit = UNIT[origin];
  return unit === undefined ? `${bound} ${size}` : `${bound} ${size} ${unit}${Number(size) === 1 ? "" : "s"}`;
}

/** The path as the API writes it: `messages[0].role`. */
export const fieldName = (path: readonly PropertyKey[]): string =>
  path.map((step, i) => (typeof step === "number" ? `[${step}]` : `${i > 0 ? "." : ""}${String(step)}`)).join("");
