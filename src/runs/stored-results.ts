import type { ToolResult } from "../canonical/types.ts";
import { native } from "../dialects/native/index.ts";
import { findCallState } from "../session/calls.ts";
import type { Turn } from "../session/turns.ts";
import type { Sql } from "../store/sql.ts";
import { withPrefix } from "../wire/id.ts";
import { toResultBlocks } from "./batch.ts";
import type { RunStore } from "./state/run-store.ts";
import { isSettled, turnOfStep } from "./state/run.ts";

/**
 * The results of the calls of a turn, as its run's next step gets them. None for a turn that no run has made; those that the
 * run still waits for are left out. A copied turn has those of its original.
 */
export function findResults(
  { id, origin = id }: Pick<Turn, "id" | "origin">,
  { sql, store }: { sql: Sql; store: RunStore },
): ToolResult[] {
  const call = withPrefix(origin, "call");
  const run = findCallState(sql, call)?.started.runId;
  const step = run === undefined ? undefined : store.listOf("step", run).find((one) => turnOfStep(one) === origin);
  if (step === undefined) return [];
  const settled = store.listExecutions(step.run, step.n).filter(isSettled);
  return native
    .decodeMessages(toResultBlocks(settled))
    .flatMap(({ blocks }) => blocks.filter((block) => block.kind === "tool_result"));
}
