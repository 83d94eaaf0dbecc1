import type { z } from "zod";

/**
 * The first issue of a failed parse as one line: `{at}.{path}: {expected}`. Of a union's alternatives, it is the issue of
 * the alternative that the value matches best, that is, whose issue is nested deepest. For configuration; requests have
 * `surfaces/validate.ts`.
 */
export function formatIssue({ issues }: Pick<z.core.$ZodError, "issues">, at: string): string {
  const issue = issues[0]!;
  const here = issue.path.reduce<string>(
    (path, step) => (typeof step === "number" ? `${path}[${step}]` : `${path}.${String(step)}`),
    at,
  );
  if (issue.code === "invalid_union") {
    const deepest = issue.errors.toSorted((a, b) => (b[0]?.path.length ?? 0) - (a[0]?.path.length ?? 0))[0];
    if (deepest !== undefined) return formatIssue({ issues: deepest }, here);
  }
  if (issue.code === "unrecognized_keys") return `${here}.${issue.keys[0]!}: there is no such member`;
  return `${here}: ${issue.message.replace(/^Invalid input: /, "")}`;
}
