import { z } from "zod";
import { GatewayError, invalid } from "../canonical/error.ts";
import type { Caller } from "../keys/caller.ts";
import { block } from "../surfaces/native-schemas.ts";
import { rhoneRequest } from "../surfaces/rhone.ts";
import { sha256 } from "../wire/hash.ts";
import { loadPatterns } from "../wire/json-schema.ts";
import type { Json, JsonObject } from "../wire/json.ts";
import { settleExecution, toOpen, toScreened } from "./batch.ts";
import type { RunEngine } from "./run-engine.ts";
import { mayGoOn } from "./run-gates.ts";
import { toApiCheckpoint, toCompleted, toToolCall } from "./run-views.ts";
import type { GivenResult } from "./services.ts";
import { isBound } from "./state/checkpoint.ts";
import { type RunLimits, runLimits, type RunTool, schemaOf } from "./state/definition.ts";
import {
  type ResolvedDecision,
  DECISIONS,
  type Execution,
  hasEnded,
  isSettled,
  isWaiting,
  type Run,
  type RunCheckpoint,
} from "./state/run.ts";
import { readArguments } from "./tools/arguments.ts";
import { addItems, inputItems, settleStep } from "./unfinished.ts";

const content = z.union([
  z.string(),
  z.array(z.strictObject({ type: z.enum(["input", "response", "text"]), text: z.string() }).meta({ id: "ResultText" })),
]);

/** What `POST /v1/runs/{id}:resume` takes. A result is for an execution, by its id or by that of its call. */
export const resumeRequest = z
  .strictObject({
    tool_results: z
      .array(
        z
          .strictObject({ id: z.string().min(1), content, is_error: z.boolean().optional() })
          .meta({ id: "ClientToolResult" }),
      )
      .max(256)
      .optional(),
    stream: z.boolean().optional(),
  })
  .meta({ id: "ResumeRunRequest" });

/** What `POST /v1/runs/{id}:replay` takes. */
export const replayRunRequest = z
  .strictObject({
    model: z.string().min(1).max(256).optional(),
    routing: rhoneRequest.shape.routing,
    stream: z.boolean().optional(),
  })
  .meta({ id: "ReplayRunRequest" });

/** What `POST /v1/runs/{id}:interrupt` takes. */
export const interruptRequest = z
  .strictObject({
    message: z.union([z.string().min(1), z.array(block).min(1)]).optional(),
    behavior: z.enum(["discard", "save_partial", "save_marked"]).default("discard"),
    stream: z.boolean().optional(),
  })
  .meta({ id: "InterruptRunRequest" });

/** What `POST /v1/checkpoints/{id}:resolve` takes. Which decisions are allowed stands in the checkpoint. */
export const resolveRequest = z
  .discriminatedUnion("decision", [
    z
      .strictObject({
        decision: z.literal("approve"),
        limits: runLimits.optional(),
        remember: z
          .literal("run")
          .optional()
          .meta({ description: "Approves the later calls of this tool in this run as well" }),
      })
      .meta({ id: "ApproveDecision" }),
    z
      .strictObject({ decision: z.literal("deny"), reason: z.string().max(2_000).optional() })
      .meta({ id: "DenyDecision" }),
    z
      .strictObject({ decision: z.literal("edit"), arguments: z.union([z.string(), z.looseObject({})]) })
      .meta({ id: "EditDecision" }),
    z.strictObject({ decision: z.literal("retry") }).meta({ id: "RetryDecision" }),
    z
      .strictObject({ decision: z.literal("result"), content, is_error: z.boolean().optional() })
      .meta({ id: "ResultDecision" }),
    z
      .strictObject({ decision: z.literal("fail"), reason: z.string().max(2_000).optional() })
      .meta({ id: "FailDecision" }),
  ])
  .meta({ id: "ResolveRequest" });

type Decision = z.infer<typeof resolveRequest>;

const textOf = (given: z.infer<typeof content>): string =>
  typeof given === "string" ? given : given.map(({ text }) => text).join("\n");

const conflict = (param: string, message: string): GatewayError =>
  new GatewayError("request.invalid", `${param}: ${message}`, { param, status: 409 });

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
  if (run.status === "interrupted" ? wasInterrupted : isWaiting(run) && mayGoOn(run, store)) engine.start(run);
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

/** Decides at a checkpoint, once, about exactly the call for which it was made. */
export async function resolveCheckpoint(
  engine: RunEngine,
  { id, run: runId }: Pick<RunCheckpoint, "id" | "run">,
  decision: Decision,
  caller: Caller,
): Promise<JsonObject> {
  const { store, lifetime, screen, restore } = engine.services;
  const now = lifetime.now();
  const run = engine.require(runId);
  if (decision.decision === "edit") await loadPatterns(engine.definitionOf(run).tools);
  const given = await screen(freeTextOf(decision), run, caller);
  // Nothing is awaited from here on until the decision is written: there is one.
  const checkpoint = store.find("checkpoint", id)!;
  requireResolvable(checkpoint, decision, caller, now);
  const reason = "reason" in decision ? decision.reason : undefined;
  const decided: ResolvedDecision = {
    decision: decision.decision,
    by: caller.keyId,
    at: now,
    ...(reason !== undefined && { reason }),
    ...("remember" in decision && decision.remember !== undefined && { remember: decision.remember }),
  };
  const resolved: RunCheckpoint = { ...checkpoint, status: STATUS[decision.decision], decided };
  const changed = checkpoint.execution === undefined ? undefined : decide(engine, checkpoint, decision, given);
  store.transact(() => {
    store.put("checkpoint", resolved);
    if (checkpoint.kind === "limit") decideLimit(engine, run, decision);
    if (changed !== undefined) store.put("execution", changed);
  });
  await lifetime.durable();
  if (isWaiting(run) && run.status !== "interrupted" && mayGoOn(run, store)) engine.start(run);
  const by = { decision: decision.decision, by: caller.keyId };
  engine.tell(
    run,
    { type: "checkpoint.resolved", id: checkpoint.id, status: resolved.status, ...by },
    ...(changed !== undefined && isSettled(changed) ? [toCompleted(changed)] : []),
    ...(changed?.status === "awaiting_client" ? [toToolCall(changed, restore(changed, run))] : []),
  );
  return toApiCheckpoint(resolved, changed && { call: changed.call, args: restore(changed, run, caller) });
}

/** Throws 409 for a checkpoint that is no longer open, `auth.forbidden` and `request.invalid`. */
function requireResolvable(
  { status, expiresAt, approver, bound, kind }: RunCheckpoint,
  given: Decision,
  { keyId }: Caller,
  now: number,
): void {
  if (status !== "open") throw conflict("id", `the checkpoint is ${status}`);
  if (expiresAt <= now) throw conflict("id", "the checkpoint has expired");
  if (approver === "other" && keyId === bound.keyId)
    throw new GatewayError("auth.forbidden", "another key than the run's has to decide");
  const allowed: readonly string[] = DECISIONS[kind];
  if (!allowed.includes(given.decision)) throw invalid("decision", `expected one of ${allowed.join(", ")}`);
  if (kind !== "approval" && "remember" in given) throw invalid("remember", "expected an approval of a call");
}

const STATUS: Record<Decision["decision"], RunCheckpoint["status"]> = {
  approve: "approved",
  deny: "denied",
  edit: "edited",
  retry: "answered",
  result: "answered",
  fail: "answered",
};

/** The execution that a decision is about, after it. Throws if it is no longer the one for which the checkpoint was made. */
function decide(
  engine: RunEngine,
  { run, bound, execution: id }: RunCheckpoint,
  decision: Decision,
  given: GivenResult,
): Execution {
  const { store, lifetime } = engine.services;
  const now = lifetime.now();
  const execution = store.find("execution", id!)!;
  const { tools, policy } = engine.definitionOf(engine.require(run));
  const tool = tools.find(({ name }) => name === bound.tool);
  if (tool === undefined || !isBound(execution, { tool, policy }, bound) || isSettled(execution))
    throw conflict("id", "the call is no longer the one for which the checkpoint was made");
  const failAs = (status: "denied" | "failed", text: string): Execution =>
    settleExecution(execution, { status, text, isError: true }, now);
  switch (decision.decision) {
    case "approve":
      return { ...execution, ...toOpen(tool, now) };
    case "retry":
      return { ...execution, status: "ready" };
    case "edit":
      return edit(execution, tool, { args: freeTextOf(decision), shown: given.text }, now);
    case "deny":
      return failAs("denied", explained("A person did not allow this call", given.text));
    case "fail":
      return failAs("failed", explained("The call has failed", given.text));
    case "result": {
      const isError = decision.is_error === true;
      return settleExecution(execution, toScreened(given, { status: isError ? "failed" : "succeeded", isError }), now);
    }
  }
}

const explained = (what: string, reason: string): string => (reason === "" ? `${what}.` : `${what}: ${reason}`);

/** What a person has written, of which the model is shown no more than the shield lets through. */
function freeTextOf(decision: Decision): string {
  switch (decision.decision) {
    case "result":
      return textOf(decision.content);
    case "edit":
      return typeof decision.arguments === "string" ? decision.arguments : JSON.stringify(decision.arguments);
    case "deny":
    case "fail":
      return decision.reason ?? "";
    case "approve":
    case "retry":
      return "";
  }
}

/** `shown`: the arguments as the model is shown them. */
function edit(
  execution: Execution,
  tool: RunTool,
  { args, shown }: { args: string; shown: string },
  now: number,
): Execution {
  const read = readArguments(args, schemaOf(tool));
  if ("problem" in read) throw invalid("arguments", `expected other arguments: ${read.problem}`);
  return { ...execution, args, digest: sha256(args), edited: shown, ...toOpen(tool, now) };
}

/** As much again, or other limits; or an answer without tools. */
function decideLimit(engine: RunEngine, run: Run, decision: Decision): void {
  const { limits } = engine.definitionOf(run);
  if (decision.decision !== "approve") return engine.changeLimits(run, { ...limits, on_limit: "answer" });
  const { max_turns, max_tool_calls, max_cost_micros_usd: most } = limits;
  const doubled = {
    max_turns: max_turns * 2,
    max_tool_calls: max_tool_calls * 2,
    ...(most !== undefined && { max_cost_micros_usd: most * 2 }),
  };
  engine.changeLimits(run, { ...limits, ...doubled, ...(decision.limits as Partial<RunLimits>) });
}
