import type { Caller } from "../keys/caller.ts";
import { SURFACES } from "../surfaces/index.ts";
import { parseRequest, readMembers } from "../surfaces/request.ts";
import { newId } from "../wire/id.ts";
import { loadPatterns } from "../wire/json-schema.ts";
import { planBatch } from "./batch.ts";
import { defineRun } from "./define-run.ts";
import type { RunEngine } from "./run-engine.ts";
import { type GivenRun, readRunRequest, type RunDefinition } from "./state/definition.ts";
import { type Run, type Step, stepIdOf, toNewRun } from "./state/run.ts";
import { toCallText } from "./steps/native-steps.ts";
import { NATIVE_TOOLS, type NativeToolName } from "./tools/native-tools.ts";

/** Whose run it is. `isNew`: with its session. */
type NewRun = { id: string; sessionId: string; isNew: boolean; caller: Caller; address?: string };

/** A run that a client starts. `text`: the body of the request. */
export type RequestedRun = NewRun & { text: string };

/** A call of one tool, without a model: of a harness, or of the gateway's own. `args`: JSON text. */
export type RequestedCall = NewRun & { harness?: string | undefined; name: string; args: string };

/** Starts a run. It is durable when this resolves. Throws `request.invalid`, `provider.unavailable`, `session.*`. */
export async function startRun(engine: RunEngine, { text, ...made }: RequestedRun): Promise<Run> {
  const read = readRunRequest(text);
  const own = read.harness === undefined ? await engine.services.findDefaultHarness(made.caller) : undefined;
  const given: GivenRun = own === undefined ? read : { ...read, harness: { id: own, at: "defaults.harness" } };
  const definition = await defineRun(given, made.caller, engine.services);
  const { rhone } = readMembers(text, new Headers(), SURFACES.native);
  const run = newRun(engine, made, { definition, ...(rhone.metadata && { metadata: rhone.metadata }) });
  const first = readMembers(toCallText({ definition, run, isLast: false }), new Headers(), SURFACES.native);
  parseRequest(first, SURFACES.native);
  const isResolved = given.harness !== undefined || Object.keys(given.servers).length > 0;
  const { isNew } = made;
  await engine.accept({ run, definition, isNew, onBusy: rhone.on_busy, ...(isResolved && { given }) });
  return run;
}

/** Starts a run that executes one call, and ends with its result. Throws as `startRun`. */
export async function startToolCall(engine: RunEngine, requested: RequestedCall): Promise<Run> {
  const { harness, name, args, ...made } = requested;
  const { state, store, lifetime } = engine.services;
  const given = toToolBox(harness);
  const { tools, ...defined } = await defineRun(given, made.caller, engine.services);
  const own = tools.filter(({ type }) => type !== "function");
  const definition: RunDefinition = { ...defined, tools: own, isToolCall: true };
  await loadPatterns(definition.tools);
  const run = { ...newRun(engine, made, { definition }), step: 1, toolCalls: 1 };
  const step: Step = { id: stepIdOf(run.id, 1), run: run.id, revision: 0, n: 1, status: "tools" };
  const now = lifetime.now();
  const { objectId } = state;
  const call = { kind: "tool_call", id: newId("call", now), name, arguments: args } as const;
  const context = { definition, step: 1, earlier: [], isApproved: () => false, now, objectId, refusal: undefined };
  const { executions, checkpoints } = planBatch({ ...run, toolCalls: 0 }, [call], context);
  const parts = (): void => {
    store.put("step", step);
    for (const execution of executions) store.put("execution", execution);
    for (const checkpoint of checkpoints) store.put("checkpoint", checkpoint);
  };
  await engine.accept({ run, definition, given, isNew: made.isNew, parts });
  return run;
}

/** Nothing but tools: those of a harness, or else the gateway's own. */
export function toToolBox(harness: string | undefined): GivenRun {
  const own = Object.keys(NATIVE_TOOLS).map((name) => ({ type: "native", name: name as NativeToolName }) as const);
  const nothing = { call: {}, input: [], servers: {}, policy: [], limits: {} };
  if (harness === undefined) return { ...nothing, tools: own };
  return { ...nothing, tools: [], harness: { id: harness, at: "harness" } };
}

const newRun = (
  { services: { state, lifetime } }: RunEngine,
  { id, sessionId, isNew, caller: { org, keyId }, address }: NewRun,
  { definition, metadata }: { definition: RunDefinition; metadata?: Record<string, string> },
): Run =>
  toNewRun(
    {
      id,
      org,
      keyId,
      ...(address !== undefined && { address }),
      sessionId: isNew ? sessionId : state.session.row.id,
      input: JSON.stringify(definition.input),
      ...(metadata && { metadata }),
    },
    lifetime.now(),
  );
