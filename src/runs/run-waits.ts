import type { RunStore } from "./run-store.ts";
import type { ExecutionStatus, Run } from "./run.ts";

const OPEN: ReadonlySet<ExecutionStatus> = new Set(["awaiting_client", "awaiting_approval", "unknown"]);

/** Whether a waiting run has something to do. */
export function mayGoOn(run: Run, store: RunStore): boolean {
  const executions = store.listExecutions(run.id, run.step);
  const isHeld = store.listOf("checkpoint", run.id).some(({ kind, status }) => kind === "limit" && status === "open");
  return (
    !isHeld &&
    (executions.some(({ status }) => status === "ready") || executions.every(({ status }) => !OPEN.has(status)))
  );
}

/** When the first of what a waiting run waits for is overdue. Unix milliseconds; Infinity: never. */
export function nextDueOf(run: Run, store: RunStore): number {
  const executions = store.listExecutions(run.id, run.step);
  const dues = executions.flatMap(({ status, dueAt }) => (status === "awaiting_client" ? [dueAt ?? Infinity] : []));
  const expiries = store
    .listOf("checkpoint", run.id)
    .flatMap(({ status, expiresAt }) => (status === "open" ? [expiresAt] : []));
  return Math.min(Infinity, ...dues, ...expiries);
}

/** The ids of what a run waits for: calls of the client's tools, and checkpoints. */
export function openOf(run: Run, store: RunStore): string[] {
  const waiting = store.listExecutions(run.id, run.step).filter(({ status }) => status === "awaiting_client");
  const open = store.listOf("checkpoint", run.id).filter(({ status }) => status === "open");
  return [...waiting, ...open].map(({ id }) => id);
}
