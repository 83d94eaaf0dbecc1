import { encodeUsage } from "../../dialects/native/usage.ts";
import { type ListedRun, toPlainRun } from "../../store/run-list.ts";
import { withoutUndefined } from "../../wire/json.ts";
import { type KnownCall, toApiRecord } from "./calls.ts";

/** A run as lists show it: without its output, which its session has. */
export const toListedRun = (run: ListedRun): { id: string } & Record<string, unknown> =>
  withoutUndefined({
    id: run.id,
    object: "run",
    session_id: run.sessionId,
    key_id: run.keyId,
    status: run.status,
    stop_reason: run.stopReason,
    steps: run.steps,
    tool_calls: run.toolCalls,
    usage: run.usage && encodeUsage(run.usage),
    cost_micros_usd: run.costMicrosUsd,
    metadata: run.metadata,
    error: run.error,
    created_at: new Date(run.createdAt).toISOString(),
    ended_at: run.endedAt === undefined ? undefined : new Date(run.endedAt).toISOString(),
  });

/** A plain call as the run of one call that it is, with that call. */
export const showPlainRun = (call: KnownCall): ReturnType<typeof toListedRun> => ({
  ...toListedRun(toPlainRun(call)),
  calls: [toApiRecord(call)],
});
