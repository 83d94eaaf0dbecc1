import type { ToolCall } from "../../canonical/types.ts";
import { decodeItems } from "../../session/history/decode.ts";
import { inline } from "../../session/large-strings.ts";
import type { Turn } from "../../session/turns.ts";
import { planBatch, toolCallsOf } from "../batch.ts";
import type { RunEngine } from "../run-engine.ts";
import type { RunDefinition } from "../state/definition.ts";
import { type Execution, type Run, type Step, stepIdOf } from "../state/run.ts";
import { isOwnCall } from "../steps/merge-replies.ts";
import { findStepOf } from "../stored-results.ts";

/** Calls that a run has left to the next one, since its last reply calls tools of its client as well. `step`: which has made them. */
type HeldCalls = { run: Run; step: Step; calls: readonly ToolCall[] };

/** Those behind a turn, which no other run makes. */
export async function findHeldCalls(turn: Turn, engine: RunEngine): Promise<HeldCalls | undefined> {
  const { store, state } = engine.services;

  const step = findStepOf(turn, { sql: state.sql, store });
  const run = step && store.find("run", step.run);
  if (run === undefined || run.leftTo !== undefined) return undefined;
  const { definition } = engine.frozenOf(run);
  if (definition.client === undefined) return undefined;
  const made = new Set(store.listExecutions(run.id, step!.n).map(({ call }) => call));
  const messages = [...decodeItems(await inline(turn.output, state.blobs))];
  const isOwn = isOwnCall(definition, definition.client);
  const calls = toolCallsOf({ messages }).filter((call) => isOwn(call) && !made.has(call.id));
  return calls.length === 0 ? undefined : { run, step: step!, calls };
}

/** The batch with which a run starts that makes them: it decides about them as about any other. */
export function planHeldCalls(
  run: Run,
  { calls, step: { call, turnId } }: HeldCalls,
  { definition, now, objectId }: { definition: RunDefinition; now: number; objectId: string },
): { step: Step; executions: Execution[] } {
  const batch = planBatch(run, calls, {
    definition,
    step: 0,
    earlier: [],
    isApproved: () => false,
    now,
    objectId,
    refusal: undefined,
  });
  const step: Step = {
    id: stepIdOf(run.id, 0),
    run: run.id,
    revision: 0,
    n: 0,
    status: "tools",
    ...(call !== undefined && { call }),
    ...(turnId !== undefined && { turnId }),
  };
  return { step, executions: batch.executions };
}
