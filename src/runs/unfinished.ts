import { hashTurn, ROOT } from "../canonical/turn-hash.ts";
import { native } from "../dialects/native/index.ts";
import type { SessionState } from "../gateway/session/services.ts";
import { failOpenResponse } from "../session/stored-responses.ts";
import { hasTurn, linkTurns, type Turn, type UnlinkedTurn } from "../session/turns.ts";
import { isObject, joinItems, type Json, parseJson } from "../wire/json.ts";
import { settleExecution, toResultBlocks } from "./call-results.ts";
import { isRepeatable } from "./execute-tool.ts";
import type { RunEvent } from "./run-events.ts";
import { toCompleted } from "./run-views.ts";
import type { RunServices } from "./services.ts";
import { type Execution, isSettled, lastTurnOf, type Run, type Step } from "./state/run.ts";
import { movesHead } from "./steps/run-line.ts";
import type { LastTurn } from "./steps/step-form.ts";

const NO_ITEMS = { dialect: native.id, items: "", issuer: "" };

/** The items of a run's next input. */
export function inputItems({ input }: Pick<Run, "input">): Json[] {
  const items = parseJson(input);
  return Array.isArray(items) ? items : [items];
}

/**
 * Settles what is open of a run's last step, where the run goes no further: calls that were not made are cancelled, and the step becomes
 * a turn with the results that there are, so that nothing which was paid for or done is lost. Returns the
 * events that tell of it.
 */
export function settleStep(run: Run, { store, state, lifetime, abandon }: RunServices): RunEvent[] {
  const step = store.lastStep(run.id);
  const now = lifetime.now();
  const executions = step === undefined ? [] : store.listExecutions(run.id, step.n);
  const settled = executions.map((one) => (isSettled(one) ? one : settleExecution(one, cancelled(one), now)));
  const changed = settled.filter((one, i) => one !== executions[i]);
  for (const execution of executions) if (execution.handle?.task !== undefined) abandon(execution, run);
  const open = store.listOf("checkpoint", run.id).filter(({ status }) => status === "open");
  store.transact(() => {
    for (const execution of changed) store.put("execution", execution);
    for (const checkpoint of open) store.put("checkpoint", { ...checkpoint, status: "cancelled" });
  });
  const events = [
    ...open.map(({ id }) => ({ type: "checkpoint.resolved", id, status: "cancelled" })),
    ...changed.map(toCompleted),
  ];
  if (step === undefined || step.status === "committed" || step.status === "dropped") return events;
  if (step.status === "calling") store.put("step", { ...step, status: "dropped" });
  else commitStep(run, step, settled, { store, state });
  return events;
}

/**
 * An execution that a restart has interrupted has happened, or has not. The connection on which its server has waited for an answer is
 * lost.
 */
export function interruptExecution(execution: Execution, store: RunServices["store"]): void {
  store.put("execution", { ...execution, status: isRepeatable(execution.effect) ? "ready" : "unknown" });
  for (const checkpoint of store.listOf("checkpoint", execution.run))
    if (checkpoint.execution === execution.id && checkpoint.status === "open")
      store.put("checkpoint", { ...checkpoint, status: "cancelled" });
}

/** The batch of a step becomes a turn of the session, if a model has called it; its results are the run's next input. */
export function commitStep(
  run: Run,
  { turn, instructions, ...step }: Step,
  executions: readonly Execution[],
  { store, state }: Pick<RunServices, "store" | "state">,
): void {
  const isBehind = run.clientCall !== undefined;
  const write = (): void => {
    store.put("step", { ...step, status: "committed", ...(isBehind && turn && { turnId: turn.id }) });
    store.put("run", run);
  };
  if (turn === undefined) return store.transact(write);
  run.input = JSON.stringify(toResultBlocks(executions));
  run.turns++;
  if (isBehind) run.at = turn.id;
  state.session.add(turn, { moves: !isBehind, instructions }, () => {
    write();
    // They are the next turn's from now on.
    for (const { media, ...execution } of executions) if (media !== undefined) store.put("execution", execution);
  });
}

const cancelled = ({ status }: Execution): Parameters<typeof settleExecution>[1] => ({
  status: "cancelled",
  text:
    status === "started" || status === "polling" || status === "unknown"
      ? "The run was stopped while this call was being made; whether it was made is not known."
      : "The run was stopped before this call was made.",
  isError: true,
});

/** A run that goes no further leaves the results of its last batch in the session: no call in it is without one. */
export function keepResults(run: Run, { state, now }: { state: SessionState; now: number }): void {
  const results = listResults(run);
  if (results.length === 0 || (state.session.head?.open ?? []).length === 0) return;
  addItems({ input: results, output: [] }, "run_ended", run, { state, now });
}

const listResults = (run: Run): Json[] =>
  inputItems(run).filter((item) => isObject(item) && item.type === "tool_result");

/**
 * The same for a run that answers a call. Its turns become the session's with its last one. `last`: the turn of its answer, where it
 * has one. Without, the session goes on as before the call, unless one of its tools may have changed something; a stored response that
 * has no answer by then has failed.
 */
export function keepResultsBehind(
  run: Run,
  last: LastTurn | undefined,
  { state, store, lifetime }: Pick<RunServices, "state" | "store" | "lifetime">,
): void {
  const { session, objectId, sql } = state;
  failOpenResponse(sql, run.clientCall!);
  if (run.at === undefined || hasTurn(sql, lastTurnOf(run)!)) return;
  const hasEffects = store
    .listExecutions(run.id)
    .some(({ effect, startedAt }) => effect !== "read_only" && startedAt !== undefined);
  if (last === undefined && !hasEffects) return;
  const parent = session.pathOf(run.at).at(-1)!;
  const results = listResults(run);
  const turn = { ...toItemsTurn(parent, { input: results, output: [] }), ...last?.hashes };
  const [linked] = linkTurns([turn], { parent, objectId, now: lifetime.now() });
  const added = { ...linked!, ...(last && { id: last.id }) };
  session.add(added, { moves: movesHead(run, state) }, () => last?.write());
}

/** Adds items to the session without a call. */
export function addItems(
  { input, output }: { input: readonly Json[]; output: readonly Json[] },
  why: string,
  run: Run,
  { state: { session, objectId }, now }: { state: SessionState; now: number },
): Turn {
  const parent = session.head;
  const linked = linkTurns([toItemsTurn(parent, { input, output })], { parent, objectId, now });
  session.moveTo(linked, "items_added", {
    turn_id: linked[0]!.id,
    items: input.length + output.length,
    run_id: run.id,
    why,
  });
  return linked[0]!;
}

function toItemsTurn(
  parent: Turn | undefined,
  { input, output }: { input: readonly Json[]; output: readonly Json[] },
): UnlinkedTurn {
  const [requested, reply] = [input, output].map((items) =>
    native.decodeMessages(items.map((item) => structuredClone(item))),
  );
  return {
    kind: "items",
    ...hashTurn(parent?.chain ?? ROOT, requested!, reply!),
    open: [],
    input: { dialect: native.id, items: joinItems(input) },
    output: { ...NO_ITEMS, items: joinItems(output) },
  };
}
