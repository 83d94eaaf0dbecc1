import type { Opaque, ToolCall, ToolResult } from "../canonical/types.ts";
import { native } from "../dialects/native/index.ts";
import type { ShownBeside } from "../gateway/responses/turn-items.ts";
import { findCallState } from "../session/calls.ts";
import type { Turn } from "../session/turns.ts";
import type { Sql } from "../store/sql.ts";
import { withPrefix } from "../wire/id.ts";
import { toResultBlocks } from "./call-results.ts";
import type { RunDefinition } from "./state/definition.ts";
import type { RunStore } from "./state/run-store.ts";
import { isSettled, type Run, type Step, turnOfStep } from "./state/run.ts";
import { showApprovals, showCalls, showLists } from "./steps/shown-calls.ts";

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

const NOTHING: ShownBeside = { opening: [], behind: new Map() };

/** What the client of a call was shown beside its answer, which this turn ends. `calls`: those of the turn's reply. */
export function findShown(
  { id, origin = id }: Turn,
  calls: readonly ToolCall[],
  { sql, store, definitionOf }: Stored & { definitionOf: (run: Run) => RunDefinition },
): ShownBeside {
  const made = findCallState(sql, withPrefix(origin, "call"))?.started.runId;
  const run = made === undefined ? undefined : store.find("run", made);
  if (run?.clientCall === undefined) return NOTHING;
  const shown = { run, definition: definitionOf(run) };
  const showStep = ({ n, approvals }: Pick<Step, "n" | "approvals">): Opaque[] => {
    const waiting = calls.filter((call) => approvals?.includes(call.id));
    return [
      ...showCalls(store.listExecutions(run.id, n), shown),
      ...showApprovals(
        waiting.map((call) => ({ call: call.id, name: call.name, args: call.arguments, step: n })),
        shown,
      ),
    ];
  };
  const steps = store.listOf("step", run.id).filter(({ n }) => n > 0);
  return {
    opening: [...showLists(shown), ...showStep({ n: 0 })],
    behind: new Map(steps.map((step) => [turnOfStep(step) ?? "", showStep(step)])),
  };
}
