import type { ToolResult } from "../canonical/types.ts";
import { native } from "../dialects/native/index.ts";
import { findCallState } from "../session/calls.ts";
import type { Turn } from "../session/turns.ts";
import type { Sql } from "../store/sql.ts";
import { withPrefix } from "../wire/id.ts";
import { toResultBlocks } from "./call-results.ts";
import type { RunStore } from "./state/run-store.ts";
import { isSettled, type Step, turnOfStep } from "./state/run.ts";

type Stored = { sql: Sql; store: RunStore };

/**
 * The results of the calls of a turn, as its run's next step gets them. None for a turn that no run has made; those that the
 * run still waits for are left out. A copied turn has those of its original.
 */
export function findResults(turn: Pick<Turn, "id" | "origin">, stored: Stored): ToolResult[] {
  const { store } = stored;
  const step = findStepOf(turn, stored);
  if (step === undefined) return [];
  const { leftTo } = store.find("run", step.run)!;
  const left = leftTo === undefined ? [] : store.listExecutions(leftTo, 0);
  const settled = [...store.listExecutions(step.run, step.n), ...left].filter(isSettled);
  return native
    .decodeMessages(toResultBlocks(settled))
    .flatMap(({ blocks }) => blocks.filter((block) => block.kind === "tool_result"));
}

/** The step of a run that has made a turn. */
export function findStepOf({ id, origin = id }: Pick<Turn, "id" | "origin">, { sql, store }: Stored): Step | undefined {
  const run = findCallState(sql, withPrefix(origin, "call"))?.started.runId;
  return run === undefined ? undefined : store.listOf("step", run).find((one) => turnOfStep(one) === origin);
}
