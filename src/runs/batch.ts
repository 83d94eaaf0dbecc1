import type { ModelResponse, ToolCall } from "../canonical/types.ts";
import { sha256 } from "../wire/hash.ts";
import { newId } from "../wire/id.ts";
import { type JsonObject, roundNumbers } from "../wire/json.ts";
import { settleExecution } from "./call-results.ts";
import { toExecutionBinding, digestTool, openCheckpoint } from "./state/checkpoint.ts";
import type { RunDefinition } from "./state/definition.ts";
import { judgeCall, type ToolVerdict } from "./state/policy.ts";
import type { Execution, Run, RunCheckpoint } from "./state/run.ts";
import { effectOf, namesOf, type RunTool, schemaOf } from "./state/tool.ts";
import { canApprove } from "./steps/shown-calls.ts";
import { readArguments } from "./tools/arguments.ts";

/** Calls of one tool with the same arguments after which it is not run again, and after which its run ends. */
const MAX_REPEATS = 3;
const MAX_IDENTICAL = 5;
/** Calls of one reply. */
const MAX_BATCH = 16;

/** What the model is shown of a call for which a person would be needed, where none can be reached. */
export const UNATTENDED =
  "This call was not made: a person would have to approve it, and none can be reached from here.";

/** The calls of a reply as they are to be executed, with the checkpoints at which they wait. `isStuck`: one is made again and again. */
export type Batch = { executions: Execution[]; checkpoints: RunCheckpoint[]; isStuck: boolean };

type BatchContext = {
  definition: RunDefinition;
  step: number;
  earlier: readonly Execution[];
  isApproved: IsApproved;
  now: number;
  objectId: string;
  refusal: string | undefined;
};

/** The tool calls of a reply, in order. */
export const toolCallsOf = ({ messages }: Pick<ModelResponse, "messages">): ToolCall[] =>
  messages.flatMap(({ blocks }) => blocks.filter((block) => block.kind === "tool_call"));

/**
 * Decides about each call of a reply: what is wrong with it is its result at once. `refusal`: why none of them is made. `earlier`: all
 * executions of the run so far. `isApproved`: which tools need no further approval.
 */
export function planBatch(
  run: Run,
  calls: readonly ToolCall[],
  { definition, step, earlier, isApproved, now, objectId, refusal: common }: BatchContext,
): Batch {
  const checkpoints: RunCheckpoint[] = [];
  const executions: Execution[] = [];
  let isStuck = false;
  for (const [place, call] of calls.entries()) {
    const tool = definition.tools.find(({ name }) => name === call.name);
    const digest = sha256(call.arguments);
    const base: Execution = {
      id: newId("tex", now, objectId),
      run: run.id,
      revision: 0,
      step,
      place,
      call: call.id,
      name: call.name,
      kind: tool?.type ?? "unknown",
      effect: tool === undefined ? "unknown" : effectOf(tool),
      definition: tool === undefined ? "" : digestTool(tool),
      args: call.arguments,
      digest,
      status: "failed",
      attempt: 0,
      createdAt: now,
    };
    const same = [...earlier, ...executions].filter((one) => one.name === call.name && one.digest === digest);
    isStuck ||= same.length + 1 >= MAX_IDENTICAL;
    const refusal =
      common ?? findRefusal(call, { tool, definition, place, repeats: same.length, used: run.toolCalls + place });
    if (refusal !== undefined) {
      executions.push(settleExecution(base, { status: "failed", text: refusal, isError: true }, now));
      continue;
    }
    const verdict = judge(tool!, call, definition);
    const denial = findDenial(verdict, tool!, definition);
    if (denial !== undefined) {
      executions.push(settleExecution(base, { status: "denied", text: denial, isError: true }, now));
      continue;
    }
    const isHeld = verdict.do === "ask" && !isApproved(base.definition, verdict.approver);
    executions.push({ ...base, ...(isHeld ? { status: "awaiting_approval" } : toOpen(tool!, now)) });
    if (!isHeld) continue;
    const { expiresSeconds, approver } = verdict;
    const opened = { kind: "approval", approver, expiresSeconds, ...toExecutionBinding(base, definition) } as const;
    checkpoints.push(openCheckpoint(run, opened, { now, objectId }));
  }
  return { executions, checkpoints, isStuck };
}

/** Whether a tool, by the digest of its definition, was approved for the whole of a run, by one who may approve the call at hand. */
export type IsApproved = (definition: string, approver: ToolVerdict["approver"]) => boolean;

export const approvedIn =
  (checkpoints: readonly RunCheckpoint[]): IsApproved =>
  (definition, approver) =>
    checkpoints.some(
      ({ decided, bound }) =>
        decided?.remember === "run" &&
        bound.definition === definition &&
        (approver === "any" || decided.by !== bound.keyId),
    );

/** Why a call is not made at all; undefined: it is. */
function findRefusal(
  call: ToolCall,
  about: { tool: RunTool | undefined; definition: RunDefinition; place: number; repeats: number; used: number },
): string | undefined {
  const { tool, definition, place, repeats, used } = about;
  if (tool === undefined) {
    const names = definition.tools.map(({ name }) => name).join(", ");
    return `There is no tool named ${call.name}. The tools are: ${names}.`;
  }
  if (place >= MAX_BATCH) return `A reply may have ${MAX_BATCH} calls at most; this one was not made.`;
  if (used >= definition.limits.max_tool_calls)
    return "The run's limit of tool calls is reached; this one was not made.";
  if (repeats >= MAX_REPEATS)
    return `${call.name} was called ${repeats} times with these arguments; it is not called again.`;
  const read = readArguments(call.arguments, schemaOf(tool));
  return "problem" in read ? `Not called: ${read.problem}.` : undefined;
}

function judge(tool: RunTool, call: ToolCall, { policy, broughtPolicy = [] }: RunDefinition): ToolVerdict {
  const read = readArguments(call.arguments, undefined);
  // Numbers that a double cannot hold are compared as the nearest one that it can.
  const args = ("args" in read ? roundNumbers(read.args) : {}) as JsonObject;
  const rules = tool.isBrought ? broughtPolicy : policy;
  return judgeCall({ names: namesOf(tool), kind: tool.type, effect: effectOf(tool), own: tool.policy }, args, rules);
}

/** Why a call may not be made, as the model is shown it; undefined: it may, perhaps when a person lets it. */
function findDenial({ do: what, approver }: ToolVerdict, tool: RunTool, definition: RunDefinition): string | undefined {
  if (what === "deny") return `The policy of this run does not allow this call of ${tool.name}.`;
  if (what === "allow" || definition.client === undefined) return undefined;
  if (approver === "any" && canApprove(definition, tool)) return undefined;
  return definition.unattended === "wait" ? undefined : UNATTENDED;
}

/** What a call that may be made waits for. */
export function toOpen(tool: RunTool, now: number): Pick<Execution, "status"> & { dueAt?: number } {
  if (tool.type !== "function") return { status: "ready" };
  return { status: "awaiting_client", ...(tool.timeout_ms !== undefined && { dueAt: now + tool.timeout_ms }) };
}
