import { GatewayError, invalid } from "../../canonical/error.ts";
import type { Caller } from "../../keys/caller.ts";
import type { McpAnswer } from "../../mcp/messages.ts";
import { sha256 } from "../../wire/hash.ts";
import { findMismatch, loadPatterns } from "../../wire/json-schema.ts";
import type { JsonObject } from "../../wire/json.ts";
import { toOpen } from "../batch.ts";
import { settleExecution, toScreened } from "../call-results.ts";
import type { RunEngine } from "../run-engine.ts";
import { mayGoOn } from "../run-gates.ts";
import { toApiCheckpoint, toCompleted, toToolCall } from "../run-views.ts";
import type { GivenResult } from "../services.ts";
import { isBound } from "../state/checkpoint.ts";
import type { RunLimits } from "../state/definition.ts";
import {
  DECISIONS,
  type Execution,
  isSettled,
  isWaiting,
  type ResolvedDecision,
  type Run,
  type RunCheckpoint,
} from "../state/run.ts";
import { type RunTool, schemaOf } from "../state/tool.ts";
import { readArguments } from "../tools/arguments.ts";
import { conflict, type GivenDecision, textOf } from "./requests.ts";

/** Decides at a checkpoint, once, about exactly the call for which it was made. */
export async function resolveCheckpoint(
  engine: RunEngine,
  { id, run: runId }: Pick<RunCheckpoint, "id" | "run">,
  decision: GivenDecision,
  caller: Caller,
): Promise<JsonObject> {
  const { store, lifetime, screen, restore, questions } = engine.services;
  const now = lifetime.now();
  const run = engine.require(runId);
  if (decision.decision === "edit" || decision.decision === "answer")
    await loadPatterns([engine.definitionOf(run).tools, store.find("checkpoint", id)?.question]);
  const given = await screen(freeTextOf(decision), run, caller);
  // Nothing is awaited from here on until the decision is written: there is one.
  const checkpoint = store.find("checkpoint", id)!;
  requireResolvable(checkpoint, decision, caller, now);
  const decided = toResolved(decision, caller, now);
  const resolved: RunCheckpoint = { ...checkpoint, status: STATUS[decision.decision], decided };
  const changed = checkpoint.execution === undefined ? undefined : decide(engine, checkpoint, decision, given);
  store.transact(() => {
    store.put("checkpoint", resolved);
    if (checkpoint.kind === "limit") decideLimit(engine, run, decision);
    if (changed !== undefined) store.put("execution", changed);
  });
  await lifetime.durable();
  questions.answer(id, toAnswer(decision));
  if (isWaiting(run) && run.status !== "interrupted" && mayGoOn(run, engine.services)) engine.start(run);
  const by = { decision: decision.decision, by: caller.keyId };
  engine.tell(
    run,
    { type: "checkpoint.resolved", id: checkpoint.id, status: resolved.status, ...by },
    ...(changed !== undefined && isSettled(changed) ? [toCompleted(changed)] : []),
    ...(changed?.status === "awaiting_client" ? [toToolCall(changed, restore(changed, run))] : []),
  );
  return toApiCheckpoint(resolved, changed && { call: changed.call, args: restore(changed, run, caller) });
}

function toResolved(decision: GivenDecision, { keyId }: Caller, now: number): ResolvedDecision {
  const reason = "reason" in decision ? decision.reason : undefined;
  const remember = "remember" in decision ? decision.remember : undefined;
  return {
    decision: decision.decision,
    by: keyId,
    at: now,
    ...(reason !== undefined && { reason }),
    ...(remember !== undefined && { remember }),
  };
}

/** Throws 409 for a checkpoint that is no longer open, `auth.forbidden` and `request.invalid`. */
function requireResolvable(
  { status, expiresAt, approver, bound, kind }: RunCheckpoint,
  given: GivenDecision,
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

const STATUS: Record<GivenDecision["decision"], RunCheckpoint["status"]> = {
  approve: "approved",
  deny: "denied",
  edit: "edited",
  answer: "answered",
  retry: "answered",
  result: "answered",
  fail: "answered",
};

/** The execution that a decision is about, after it. Throws if it is no longer the one for which the checkpoint was made. */
function decide(engine: RunEngine, checkpoint: RunCheckpoint, decision: GivenDecision, given: GivenResult): Execution {
  const { run, bound, execution: id } = checkpoint;
  const { store, lifetime } = engine.services;
  const now = lifetime.now();
  const execution = store.find("execution", id!)!;
  const { tools, policy } = engine.definitionOf(engine.require(run));
  const tool = tools.find(({ name }) => name === bound.tool);
  if (tool === undefined || !isBound(execution, { tool, policy }, bound) || isSettled(execution))
    throw conflict("id", "the call is no longer the one for which the checkpoint was made");
  const failAs = (status: "denied" | "failed", text: string): Execution =>
    settleExecution(execution, { status, text, isError: true }, now);
  if (checkpoint.kind === "input") return answer(engine, checkpoint, execution, toAnswer(decision));
  switch (decision.decision) {
    case "answer":
      return execution;
    case "approve":
      return { ...execution, ...toOpen(tool, now) };
    case "retry":
      return toRetried(execution);
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

/** A call that is made once more: with the state that its server has given, but not as the task that it was. */
function toRetried({ handle, ...execution }: Execution): Execution {
  const again = handle?.task === undefined ? handle : undefined;
  return { ...execution, status: "ready", ...(again && { handle: again }) };
}

const explained = (what: string, reason: string): string => (reason === "" ? `${what}.` : `${what}: ${reason}`);

/** What a person has written, of which the model is shown no more than the shield lets through. */
function freeTextOf(decision: GivenDecision): string {
  switch (decision.decision) {
    case "result":
      return textOf(decision.content);
    case "edit":
      return typeof decision.arguments === "string" ? decision.arguments : JSON.stringify(decision.arguments);
    case "deny":
    case "fail":
      return decision.reason ?? "";
    case "approve":
    case "answer":
    case "retry":
      return "";
  }
}

/** A decision as the server gets it. */
const toAnswer = (decision: GivenDecision): McpAnswer =>
  decision.decision === "answer"
    ? { action: "accept", ...(decision.content && { content: decision.content as JsonObject }) }
    : { action: "decline" };

/**
 * An execution with an answer to one of its server's questions: it goes on when none is left. Throws if the answer is none to the question,
 * or if the call has not waited for it.
 */
function answer(
  { services: { store, lifetime, questions } }: RunEngine,
  { id, run, question }: RunCheckpoint,
  execution: Execution,
  given: McpAnswer,
): Execution {
  const { key, schema } = question!;
  const content = given.action === "accept" ? given.content : undefined;
  if (given.action === "accept" && (schema === undefined) !== (content === undefined))
    throw invalid(
      "content",
      schema === undefined ? "expected none: the answer is given on the page" : "expected an object",
    );
  const problem = content === undefined ? undefined : findMismatch(schema!, content);
  if (problem !== undefined) throw invalid("content", `expected an answer that fits the question: ${problem}`);
  if (execution.status === "started" && questions.has(id)) return execution;
  if (execution.status !== "awaiting_input") throw conflict("id", "the call no longer waits for the answer");
  const { answers, ...handle } = execution.handle!;
  const answered = { ...execution, handle: { ...handle, answers: { ...answers, [key]: given } } };
  const isLast = !store
    .listOf("checkpoint", run)
    .some((one) => one.execution === execution.id && one.status === "open" && one.id !== id);
  if (!isLast) return answered;
  return handle.task === undefined
    ? { ...answered, status: "ready" }
    : { ...answered, status: "polling", dueAt: lifetime.now() };
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
function decideLimit(engine: RunEngine, run: Run, decision: GivenDecision): void {
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
