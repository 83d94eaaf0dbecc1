import type { StoredRecord } from "../../store/records.ts";
import { type Execution, isSettled, type Run, type RunCheckpoint } from "./run.ts";

/** Whose session a run is in. */
export type Owner = { org: string; sessionId: string };

/** What lists and queries find of a run. */
export const toRunRecord = (run: Run): StoredRecord => ({
  object: "run",
  org: run.org,
  id: run.id,
  sessionId: run.sessionId,
  keyId: run.keyId,
  status: run.status,
  ...(run.stopReason !== undefined && { stopReason: run.stopReason }),
  steps: run.step,
  toolCalls: run.toolCalls,
  usage: run.usage,
  costMicrosUsd: run.costMicros,
  ...(run.error && { error: run.error }),
  ...(run.metadata && { metadata: run.metadata }),
  revision: run.revision,
  createdAt: run.createdAt,
  ...(run.endedAt !== undefined && { endedAt: run.endedAt }),
});

/** And of an execution that has ended; none before. */
export const toExecutionRecord = (execution: Execution, owner: Owner): StoredRecord | undefined =>
  isSettled(execution)
    ? {
        object: "tool_execution",
        ...owner,
        id: execution.id,
        runId: execution.run,
        step: execution.step,
        name: execution.name,
        kind: execution.kind,
        effect: execution.effect,
        status: execution.status,
        attempt: execution.attempt,
        isError: execution.isError === true,
        digest: execution.digest,
        resultLength: execution.full?.length ?? execution.result?.length ?? 0,
        revision: execution.revision,
        createdAt: execution.createdAt,
        ...(execution.startedAt !== undefined && { startedAt: execution.startedAt }),
        ...(execution.endedAt !== undefined && { endedAt: execution.endedAt }),
      }
    : undefined;

export const toCheckpointRecord = (checkpoint: RunCheckpoint, owner: Owner): StoredRecord => ({
  object: "checkpoint",
  ...owner,
  id: checkpoint.id,
  runId: checkpoint.run,
  kind: checkpoint.kind,
  status: checkpoint.status,
  ...(checkpoint.bound.tool !== undefined && { tool: checkpoint.bound.tool }),
  approver: checkpoint.approver,
  revision: checkpoint.revision,
  createdAt: checkpoint.createdAt,
  expiresAt: checkpoint.expiresAt,
});
