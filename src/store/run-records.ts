import { and, desc, eq, lt } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { Usage } from "../canonical/types.ts";
import { isNotErased } from "./retention/erasures.ts";
import { checkpoints, runRecords, toolExecutions } from "./schema.ts";
import { upsertInto } from "./upsert.ts";

/** Of two records of one thing the one with the higher `revision` is newer. Times are Unix milliseconds. */
type Revised = { org: string; id: string; sessionId: string; revision: number; createdAt: number };

/** A run as lists find it; its content is in its session's object. */
export type RunRecord = Revised & {
  object: "run";
  keyId: string;
  status: string;
  stopReason?: string;
  steps: number;
  toolCalls: number;
  usage: Usage;
  costMicrosUsd: number;
  error?: { code: string; message: string };
  metadata?: Record<string, string>;
  endedAt?: number;
};

/** The execution of a tool, without its arguments and its result. `digest`: of the arguments. */
export type ToolExecutionRecord = Revised & {
  object: "tool_execution";
  runId: string;
  step: number;
  name: string;
  kind: string;
  effect: string;
  status: string;
  attempt: number;
  isError: boolean;
  digest: string;
  resultLength: number;
  startedAt?: number;
  endedAt?: number;
};

/** A checkpoint as lists find it. */
export type CheckpointRecord = Revised & {
  object: "checkpoint";
  runId: string;
  kind: string;
  status: string;
  tool?: string;
  approver: string;
  expiresAt: number;
};

/** The tables with what runs leave behind. */
export const RUN_TABLES = ["run_records", "tool_executions", "checkpoints"] as const;

/** A newer one is replaced by none, and nothing is written of a session that was erased. */
const isWritten = (table: string): { isNewer: string; onlyIf: string } => ({
  isNewer: `${table}.revision < excluded.revision`,
  onlyIf: isNotErased({
    org: "value ->> '$.org'",
    session: "value ->> '$.sessionId'",
    createdAt: "value ->> '$.createdAt'",
  }),
});

export const upsertRuns = upsertInto(runRecords, {
  key: [runRecords.org, runRecords.id],
  fixed: [runRecords.sessionId],
  ...isWritten("run_records"),
});
export const upsertToolExecutions = upsertInto(toolExecutions, {
  key: [toolExecutions.org, toolExecutions.id],
  ...isWritten("tool_executions"),
});
export const upsertCheckpoints = upsertInto(checkpoints, {
  key: [checkpoints.org, checkpoints.id],
  ...isWritten("checkpoints"),
});

/** `before`: the id of the last one of the previous page; ids sort by time. */
export type RecordPage = { org: string; before?: string | undefined; limit: number; status?: string | undefined };

/** A page of an organisation's checkpoints, newest first. */
export async function listCheckpoints(
  d1: D1Database,
  { org, before, limit, status }: RecordPage,
): Promise<(typeof checkpoints.$inferSelect)[]> {
  return await drizzle(d1)
    .select()
    .from(checkpoints)
    .where(
      and(
        eq(checkpoints.org, org),
        before === undefined ? undefined : lt(checkpoints.id, before),
        status === undefined ? undefined : eq(checkpoints.status, status),
      ),
    )
    .orderBy(desc(checkpoints.id))
    .limit(limit);
}
