import type { z } from "zod";
import { GatewayError, invalid } from "../../canonical/error.ts";
import type { Caller } from "../../keys/caller.ts";
import type { Json } from "../../wire/json.ts";
import { settleExecution, toScreened } from "../call-results.ts";
import type { RunEngine } from "../run-engine.ts";
import { mayGoOn } from "../run-gates.ts";
import { toCompleted } from "../run-views.ts";
import type { GivenResult } from "../services.ts";
import { type Execution, hasEnded, isSettled, isWaiting, type Run } from "../state/run.ts";
import { addItems, inputItems, settleStep } from "../unfinished.ts";
import { conflict, type interruptRequest, type resumeRequest, textOf } from "./requests.ts";

/** Takes the results of tools that the client executes, in any order, and lets the run go on when it can. */
export async function resume(
  engine: RunEngine,
  run: Run,
  { tool_results: results = [] }: z.infer<typeof resumeRequest>,
  caller: Caller,
): Promise<void> {
  const { store, lifetime, screen } = engine.services;
  const screened = await Promise.all(results.map((result) => screen(textOf(result.content), run, caller)));
  // Nothing is awaited from here on until all is written: of two calls at once, the second sees what the first has given.
  const executions = store.listExecutions(run.id);
  const taken = new Set<string>();
  const given = results.flatMap((result, i) => {
    const settled = takeResult(executions, { ...result, screened: screened[i]! }, `tool_results[${i}]`, lifetime.now());
    if (settled === undefined) return [];
    if (taken.has(settled.id)) throw invalid(`tool_results[${i}].id`, "expected a call that no other result is for");
    taken.add(settled.id);
    return [settled];
  });
  if (given.length > 0 && hasEnded(run)) throw conflict("id", `the run is ${run.status}`);
  if (hasEnded(run)) return;
  const wasInterrupted = run.status === "interrupted";
  store.transact(() => given.forEach((execution) => store.put("execution", execution)));
  await lifetime.durable();
  // An interruption that has come meanwhile stands.
  if (run.status === "interrupted" ? wasInterrupted : isWaiting(run) && mayGoOn(run, engine.services))
    engine.start(run);
  if (given.length > 0) engine.tell(run, ...given.map(toCompleted));
}

/** The execution with its result; undefined: it has that already. */
function takeResult(
  executions: readonly Execution[],
  { id, screened, is_error = false }: { id: string; screened: GivenResult; is_error?: boolean | undefined },
  at: string,
  now: number,
): Execution | undefined {
  const own = executions.filter(({ kind }) => kind === "function");
  const execution = own.findLast((one) => one.id === id) ?? own.findLast((one) => one.call === id);
  if (execution === undefined)
    throw new GatewayError("object.not_found", `${at}.id: the run has no such call of a client's tool`, {
      param: `${at}.id`,
    });
  const given = toScreened(screened, { status: is_error ? "failed" : "succeeded", isError: is_error });
  if (execution.status === "awaiting_client") return settleExecution(execution, given, now);
  if (!isSettled(execution)) throw conflict(at, `this call is ${execution.status}`);
  const isSame = execution.result === given.text && execution.full?.blob === given.full?.blob;
  if (!isSame || (execution.isError ?? false) !== given.isError)
    throw conflict(at, "this call has another result already");
  return undefined;
}

/**
 * Stops a run. With a message it goes on from there at once, with that as its next input; without one it waits for `:resume`. Calls that
 * are open are cancelled. `behavior`: whether the text of an unfinished reply becomes a part of the session.
 */
export async function interrupt(
  engine: RunEngine,
  run: Run,
  { message, behavior }: z.infer<typeof interruptRequest>,
): Promise<void> {
  if (hasEnded(run)) throw conflict("id", `the run is ${run.status}`);
  if (run.clientCall !== undefined) throw conflict("id", "the run answers a call: it can be cancelled");
  if (run.status === "queued") throw conflict("id", "the run has not started: it can be cancelled");
  const { store, state, lifetime } = engine.services;
  await engine.stop(run, "interrupt");
  if (hasEnded(run)) return;
  const partial = behavior === "discard" ? "" : engine.partialText(run);
  const settled = settleStep(run, engine.services);
  if (partial !== "") {
    const text = behavior === "save_marked" ? `${partial} [interrupted]` : partial;
    addItems({ input: inputItems(run), output: [{ type: "response", text }] }, "interrupted", run, {
      state,
      now: lifetime.now(),
    });
    run.input = JSON.stringify([{ type: "input", text: "Go on." }]);
  }
  if (message !== undefined) {
    const results = inputItems(run).filter((item) => partial === "" || !isGoOn(item));
    const added: Json[] =
      typeof message === "string" ? [{ type: "input", text: message }] : (message as unknown as Json[]);
    run.input = JSON.stringify([...results, ...added]);
  }
  run.status = "interrupted";
  store.put("run", run);
  await lifetime.durable();
  // It may have been resumed meanwhile.
  if (run.status !== "interrupted") return;
  if (message === undefined)
    return engine.tell(run, ...settled, { type: "run.interrupted", run: await engine.show(run) });
  engine.start(run);
  engine.tell(run, ...settled);
}

const isGoOn = (item: Json): boolean => JSON.stringify(item) === '{"type":"input","text":"Go on."}';
