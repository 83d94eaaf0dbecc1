import { encodeUsage } from "../dialects/native/usage.ts";
import type { Caller } from "../keys/caller.ts";
import { toApiBlocks, toApiTime } from "../session/history/views.ts";
import { findTurn } from "../session/turns.ts";
import { type Json, type JsonObject, parseJson, withoutUndefined } from "../wire/json.ts";
import { cutText } from "../wire/surrogates.ts";
import type { RunEvent } from "./run-events.ts";
import type { RunServices } from "./services.ts";
import type { RunDefinition, RunLimits } from "./state/definition.ts";
import {
  DECISIONS,
  type Execution,
  hasEnded,
  isSettled,
  lastTurnOf,
  type Run,
  type RunCheckpoint,
  type Step,
  turnOfStep,
} from "./state/run.ts";

/** Characters of a result in an event. */
const MAX_EVENT_RESULT = 16 * 1024;

const timeOf = (at: number | undefined): string | undefined => (at === undefined ? undefined : toApiTime(at));

/** A run as the API returns it. `open`: the ids of what it waits for. */
export const toApiRun = (
  run: Run,
  about: { limits: RunLimits; harness: string | undefined; output: readonly Json[]; open: readonly string[] },
): JsonObject =>
  withoutUndefined({
    id: run.id,
    object: "run",
    session_id: run.sessionId,
    key_id: run.keyId,
    status: run.status,
    stop_reason: run.stopReason,
    output: hasEnded(run) ? [...about.output] : undefined,
    open: about.open.length > 0 ? [...about.open] : undefined,
    steps: run.step,
    tool_calls: run.toolCalls,
    usage: encodeUsage(run.usage),
    cost_micros_usd: run.costMicros,
    harness: about.harness,
    limits: { ...about.limits },
    metadata: run.metadata,
    error: run.error && { ...run.error },
    created_at: toApiTime(run.createdAt),
    ended_at: timeOf(run.endedAt),
  });

/** A step as the API returns it. */
export function toApiStep(step: Step, executions: readonly Execution[]): JsonObject {
  const { run, n, status, call, turn } = step;
  return withoutUndefined({
    object: "run.step",
    run_id: run,
    step: n,
    status,
    call_id: call,
    turn_id: status === "committed" ? turnOfStep(step) : turn?.id,
    tool_executions: executions.filter((one) => one.step === n).map(({ id }) => id),
  });
}

/** A tool execution as the API returns it. `args`: its arguments as the caller may see them. */
export const toApiExecution = (execution: Execution, args: string): JsonObject =>
  withoutUndefined({
    id: execution.id,
    object: "tool_execution",
    run_id: execution.run,
    step: execution.step,
    call_id: execution.call,
    name: execution.name,
    kind: execution.kind,
    effect: execution.effect,
    status: execution.status,
    attempt: execution.attempt,
    arguments: args,
    digest: execution.digest,
    result: isSettled(execution) ? execution.result : undefined,
    result_length: execution.full?.length,
    is_error: execution.isError,
    safety: execution.safety && { ...execution.safety, decisions: execution.safety.decisions as unknown as Json },
    created_at: toApiTime(execution.createdAt),
    started_at: timeOf(execution.startedAt),
    due_at: timeOf(execution.dueAt),
    ended_at: timeOf(execution.endedAt),
  });

/** A checkpoint as the API returns it, with what may be decided. */
export const toApiCheckpoint = (
  checkpoint: RunCheckpoint,
  execution: { args: string; call: string } | undefined,
): JsonObject =>
  withoutUndefined({
    id: checkpoint.id,
    object: "checkpoint",
    run_id: checkpoint.run,
    kind: checkpoint.kind,
    status: checkpoint.status,
    decisions: checkpoint.status === "open" ? [...DECISIONS[checkpoint.kind]] : [],
    execution_id: checkpoint.execution,
    call_id: execution?.call,
    tool: checkpoint.kind === "limit" ? undefined : checkpoint.bound.tool,
    limit: checkpoint.kind === "limit" ? checkpoint.bound.tool : undefined,
    arguments: execution?.args,
    question: checkpoint.question && { ...checkpoint.question },
    digest: checkpoint.bound.digest,
    definition: checkpoint.bound.definition,
    policy: checkpoint.bound.policy,
    safety: checkpoint.safety,
    approver: checkpoint.approver,
    decided: checkpoint.decided && { ...checkpoint.decided, at: toApiTime(checkpoint.decided.at) },
    created_at: toApiTime(checkpoint.createdAt),
    expires_at: toApiTime(checkpoint.expiresAt),
  });

/** Tells the client to execute a tool. */
export const toToolCall = ({ id, step, call, name, dueAt }: Execution, args: string): RunEvent => ({
  type: "tool.call",
  step,
  execution_id: id,
  call_id: call,
  name,
  arguments: args,
  ...(dueAt !== undefined && { due_at: toApiTime(dueAt) }),
});

export const toStarted = ({ id, step, call, name, kind, attempt }: Execution): RunEvent => ({
  type: "tool_execution.started",
  step,
  execution_id: id,
  call_id: call,
  name,
  kind,
  attempt,
});

export function toCompleted({
  id,
  step,
  call,
  name,
  status,
  isError,
  result = "",
  full,
  startedAt,
  endedAt,
}: Execution): RunEvent {
  const shown = cutText(result, MAX_EVENT_RESULT);
  return {
    type: "tool_execution.completed",
    step,
    execution_id: id,
    call_id: call,
    name,
    status,
    is_error: isError === true,
    ...(startedAt !== undefined && endedAt !== undefined && { ms: endedAt - startedAt }),
    result: shown,
    ...(shown.length < (full?.length ?? result.length) && { truncated: true }),
  };
}

/** The same with its output, and the values of the viewer's own key in the place of their tags. `open`: as in `toApiRun`. */
export async function showRun(
  run: Run,
  { limits, harness, open }: Pick<RunDefinition, "limits" | "harness"> & { open: readonly string[] },
  { org, keyId }: Pick<Caller, "org" | "keyId">,
  { state, store }: Pick<RunServices, "state" | "store">,
): Promise<JsonObject> {
  const step = store.lastStep(run.id);
  const last = lastTurnOf(run) ?? (step && turnOfStep(step));
  const turn = last === undefined || !hasEnded(run) ? undefined : findTurn(state.sql, last);
  const output: Json[] = turn === undefined ? [] : await toApiBlocks(turn.output, state.blobs);
  const shown = toApiRun(run, { limits, harness, output, open });
  return step?.call === undefined
    ? shown
    : (parseJson(state.shield.restore(JSON.stringify(shown), step.call, { org, keyId })) as JsonObject);
}
