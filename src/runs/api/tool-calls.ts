import { GatewayError } from "../../canonical/error.ts";
import type { Caller } from "../../keys/caller.ts";
import { requireScope } from "../../keys/permissions.ts";
import type { McpAnswer, McpMedia, McpQuestion } from "../../mcp/messages.ts";
import { sha256 } from "../../wire/hash.ts";
import { startToolCall, type RequestedCall } from "../create-run.ts";
import type { RunEngine } from "../run-engine.ts";
import { type Execution, hasEnded, type Run, type RunCheckpoint } from "../state/run.ts";
import { resolveCheckpoint } from "./decisions.ts";

/** The outcome of a call of one tool. `questions`: what it waits for, as far as the caller may answer it. */
export type ToolCallOutcome = {
  run: string;
  status: "settled" | "unknown_tool" | "waiting" | "failed";
  text: string;
  media: readonly McpMedia[];
  isError: boolean;
  questions: McpQuestion[];
};

/** A call with the answers to what it has waited for. `run`: the one that executes it. */
export type AnsweredCall = { run: string; name: string; args: string; answers: Record<string, McpAnswer> };

/** Executes one tool for a caller, without a model. Resolves when it is settled, or waits. Throws as `startToolCall`. */
export async function executeCall(engine: RunEngine, requested: RequestedCall): Promise<ToolCallOutcome> {
  const run = await startToolCall(engine, requested);
  return await toOutcome(engine, run, requested.caller);
}

/**
 * Goes on with a call. The state comes from the client: it has to be that of the very same call by the same key. Throws
 * `object.not_found`, `auth.forbidden`, `request.invalid`.
 */
export async function answerToolCall(
  engine: RunEngine,
  { run: id, name, args, answers }: AnsweredCall,
  caller: Caller,
): Promise<ToolCallOutcome> {
  const { store } = engine.services;
  const run = engine.require(id);
  const [execution] = store.listExecutions(id);
  const isSame =
    run.keyId === caller.keyId &&
    engine.definitionOf(run).isToolCall === true &&
    execution?.name === name &&
    execution.digest === sha256(args);
  if (!isSame) throw new GatewayError("object.not_found", "the state is that of another call");
  for (const [checkpoint, answer] of Object.entries(answers)) {
    const found = store.find("checkpoint", checkpoint);
    if (found?.run !== id || found.status !== "open") continue;
    requireScope(caller, "runs:approve");
    await resolveCheckpoint(engine, found, toDecision(found, answer), caller);
  }
  return await toOutcome(engine, run, caller);
}

/** An answer as the decision at its checkpoint. */
function toDecision({ kind }: RunCheckpoint, answer: McpAnswer): Parameters<typeof resolveCheckpoint>[2] {
  const content = answer.action === "accept" ? answer.content : undefined;
  if (kind === "input" && answer.action === "accept") return { decision: "answer", ...(content && { content }) };
  return content?.allow === true ? { decision: "approve" } : { decision: "deny" };
}

async function toOutcome(engine: RunEngine, run: Run, caller: Caller): Promise<ToolCallOutcome> {
  const { store } = engine.services;
  await engine.settled(run);
  const [execution] = store.listExecutions(run.id);
  const known = { run: run.id, media: [], isError: true, questions: [] };
  if (execution === undefined || run.status === "failed")
    return { ...known, status: "failed", text: run.error?.message ?? "The run has failed." };
  if (hasEnded(run)) {
    const { result: text = "", media = [], isError = false, kind } = execution;
    return { ...known, status: kind === "unknown" ? "unknown_tool" : "settled", text, media, isError };
  }
  const open = store.listOf("checkpoint", run.id).filter(({ status }) => status === "open");
  const text = `This call waits: ${[...open.map(({ id }) => id), run.id].join(", ")}.`;
  const questions = mayDecide(caller) ? open.flatMap((one) => toQuestion(one, execution, caller)) : [];
  return { ...known, status: "waiting", text, questions };
}

const mayDecide = ({ policy }: Caller): boolean => policy === undefined || policy.scopes.includes("runs:approve");

/** The question to a person at a checkpoint, if the caller may pass on the answer. */
function toQuestion(checkpoint: RunCheckpoint, { name, args }: Execution, { keyId }: Caller): McpQuestion[] {
  const { id: key, kind, question, approver, bound } = checkpoint;
  if (approver === "other" && bound.keyId === keyId) return [];
  if (kind === "input") return [{ ...question!, key }];
  return kind === "approval" ? [{ key, message: `Allow ${name} with ${args}?`, schema: ALLOW }] : [];
}

const ALLOW = { type: "object", properties: { allow: { type: "boolean", title: "Allow" } }, required: ["allow"] };
