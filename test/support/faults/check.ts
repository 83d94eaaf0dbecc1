import type { Reading } from "./surfaces.ts";
import { expectOutcome, type Fault, type Form } from "./table.ts";

/** What the record of a call has. */
export type CallRecord = {
  status: string;
  provider: string;
  attempts: { provider: string; model: string; error?: string; reason?: string }[];
};

/** What is known of one call: what the client has read, the provider in the response's headers, and the record. */
export type Observed = Reading & { provider: string | null; record: CallRecord };

/** `own`: the failing target; `other`: the fallback's provider; `whole`: the text of a complete answer. */
type Targets = { own: { provider: string; model: string }; other: string; whole: string };

/** Everything in which a call differs from the table. `requests`: how many the failing target got. */
export function differences(
  fault: Fault,
  form: Form,
  observed: Observed & { requests: number },
  { own, other, whole }: Targets,
): string[] {
  const [expected, requests] = expectOutcome(fault, form);
  const { outcome, text, ends, errors, provider, record } = observed;
  const isAnswered = expected === "own" || expected === "other" || expected === "rescued";
  const isPartial = text !== "" && whole.startsWith(text);
  const attempts = record.attempts.filter(({ model }) => model === own.model).length;
  const author = expected === "other" || expected === "rescued" ? other : own.provider;
  const isExpected = expected === "error" ? outcome === "error" || typeof outcome === "number" : outcome === expected;
  const found: [what: string, actual: unknown, expected: unknown][] = [
    ["outcome", outcome, isAnswered ? "answered" : isExpected ? outcome : expected],
    ["text", text, isAnswered ? whole : expected === "broken" && isPartial ? text : ""],
    ["ends", ends, isAnswered ? 1 : 0],
    ["errors", errors, isAnswered ? 0 : 1],
    ["provider", provider, expected === "other" ? other : own.provider],
    ["recorded provider", record.provider, author],
    ["recorded status", record.status, isAnswered ? "completed" : isBroken(record.status) ? record.status : "failed"],
    ["requests", observed.requests, requests],
    ["recorded attempts", attempts, requests],
    [
      "recorded failures without a reason",
      record.attempts.filter(({ error, reason }) => (error === undefined) !== (reason === undefined)).length,
      0,
    ],
  ];
  return found
    .filter(([, actual, wanted]) => actual !== wanted)
    .map(([what, actual, wanted]) => `${what} ${JSON.stringify(actual)}, not ${JSON.stringify(wanted)}`);
}

const isBroken = (status: string): boolean => status === "incomplete" || status === "failed";

/** Runs the tasks, a number of them at a time. */
export async function runTasks<T>(tasks: readonly (() => Promise<T>)[], concurrency: number): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(concurrency, tasks.length) }, async () => {
      for (let i = next++; i < tasks.length; i = next++) results[i] = await tasks[i]!();
    }),
  );
  return results;
}
