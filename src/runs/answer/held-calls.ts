import type { ToolCall } from "../../canonical/types.ts";
import type { ClientDecision } from "../../dialects/server-tools.ts";
import { decodeItems } from "../../session/history/decode.ts";
import { inline } from "../../session/large-strings.ts";
import type { Turn } from "../../session/turns.ts";
import { type Batch, planBatch, toolCallsOf } from "../batch.ts";
import { settleExecution } from "../call-results.ts";
import type { RunEngine } from "../run-engine.ts";
import { busyWith } from "../run-gates.ts";
import type { RunDefinition } from "../state/definition.ts";
import { type Execution, isSettled, type Run, type Step, stepIdOf } from "../state/run.ts";
import type { RunTool } from "../state/tool.ts";
import { isOwnCall } from "../steps/merge-replies.ts";
import { approvalIdOf, needsClient } from "../steps/shown-calls.ts";
import { findStepOf } from "../stored-results.ts";

/**
 * Calls that a run has left to the next one: its last reply calls tools of its client as well, or waits for the client's approval.
 * `step`: which has made them.
 */
type HeldCalls = { run: Run; step: Step; definition: RunDefinition; calls: readonly ToolCall[] };

/** Those behind a turn, which no other run makes. Throws `session.busy` while one does: what becomes of them is not known before. */
export async function findHeldCalls(turn: Turn, engine: RunEngine): Promise<HeldCalls | undefined> {
  const { store, state } = engine.services;
  const step = findStepOf(turn, { sql: state.sql, store });
  const run = step && store.find("run", step.run);
  if (run?.leftTo !== undefined && !store.listExecutions(run.leftTo, 0).every(isSettled))
    throw busyWith({ id: run.leftTo });
  if (run === undefined || run.leftTo !== undefined) return undefined;
  const { definition } = engine.frozenOf(run);
  if (definition.client === undefined) return undefined;
  const made = new Set(store.listExecutions(run.id, step!.n).map(({ call }) => call));
  const messages = [...decodeItems(await inline(turn.output, state.blobs))];
  const isOwn = isOwnCall(definition, definition.client);
  const calls = toolCallsOf({ messages }).filter((call) => isOwn(call) && !made.has(call.id));
  return calls.length === 0 ? undefined : { run, step: step!, definition, calls };
}

/** How a run goes on with them. `decisions`: those of the client. */
type Taking = {
  definition: RunDefinition;
  decisions: readonly ClientDecision[];
  now: number;
  objectId: string;
};

/** The batch with which a run starts that makes them: it decides about them as about any other. */
export function planHeldCalls(
  run: Run,
  held: HeldCalls,
  { decisions, ...taking }: Taking,
): Pick<Batch, "executions" | "checkpoints"> & { step: Step } {
  const { call, turnId } = held.step;
  const context = { ...taking, step: 0, earlier: [], isApproved: () => false, refusal: undefined };
  const { executions, checkpoints } = planBatch(run, held.calls, context);
  const step: Step = {
    id: stepIdOf(run.id, 0),
    run: run.id,
    revision: 0,
    n: 0,
    status: "tools",
    ...(call !== undefined && { call }),
    ...(turnId !== undefined && { turnId }),
  };
  const decide = (execution: Execution, place: number): Execution => {
    const { id: call } = held.calls[place]!;
    const approval = approvalIdOf(held.run, { call, step: held.step.n }, held.definition);
    const about = decisions.filter(({ id }) => id === approval);
    // An approval of two calls with one id is one of neither.
    const isAlone = held.calls.filter(({ id }) => id === call).length === 1;
    const decision = about.find(({ approves }) => !approves) ?? (isAlone ? about[0] : undefined);
    // A refusal counts also where no approval is needed any longer.
    const isRefused = decision?.approves === false && !isSettled(execution);
    if (!isRefused && !needsClient(execution, taking.definition)) return execution;
    const problem = findProblem(execution, decision, [held.definition, taking.definition]);
    if (problem === undefined) return { ...execution, status: "ready", ...(approval !== undefined && { approval }) };
    return settleExecution(execution, { status: "denied", text: problem, isError: true }, taking.now);
  };
  const decided = executions.map(decide);
  const waiting = new Set(decided.flatMap(({ id, status }) => (status === "awaiting_approval" ? [id] : [])));
  return { step, executions: decided, checkpoints: checkpoints.filter((one) => waiting.has(one.execution!)) };
}

/**
 * Why a call that needs the client's approval is not made, as the model is shown it. `definitions`: of the run whose client was to
 * approve it, and of the one at hand.
 */
function findProblem(
  { name }: Execution,
  decision: ClientDecision | undefined,
  definitions: readonly [RunDefinition, RunDefinition],
): string | undefined {
  if (decision === undefined) return "This call was not made: it has no approval.";
  const reason = decision.reason === undefined ? "" : ` (${decision.reason})`;
  if (!decision.approves) return `This call was not made: it was not approved${reason}.`;
  const [before, now] = definitions.map((definition) => describe(name, definition));
  return before === now ? undefined : "This call was not made: its tool has changed since the approval request.";
}

/** All that an approval of a tool is about. */
function describe(name: string, { tools, servers = {} }: RunDefinition): string {
  const { policy: _, isBrought: __, ...tool }: Partial<RunTool> = tools.find((one) => one.name === name) ?? {};
  return JSON.stringify([tool, "server" in tool && servers[tool.server]?.url]);
}
