import type { ErrorCode } from "../../canonical/error.ts";
import type { InputHashes } from "../../canonical/turn-hash.ts";
import type { Usage } from "../../canonical/types.ts";
import type { Caller } from "../../keys/caller.ts";
import type { McpAnswer, McpMedia, McpQuestion } from "../../mcp/messages.ts";
import type { Instructions } from "../../session/session.ts";
import type { Turn } from "../../session/turns.ts";
import type { SafetyRecord } from "../../store/records.ts";
import { withPrefix } from "../../wire/id.ts";
import type { FullResult } from "../tools/shown-result.ts";
import type { GivenRun, RunDefinition } from "./definition.ts";
import type { Effect, ToolVerdict } from "./policy.ts";
import type { RunTool } from "./tool.ts";

/** `waiting_for_tool`: nothing is left to do but what the client executes; `waiting_for_approval`: or what a person decides. */
export const RUN_STATUSES = [
  "queued",
  "running",
  "waiting_for_tool",
  "waiting_for_approval",
  "interrupted",
  "completed",
  "failed",
  "cancelled",
] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

export const STOP_REASONS = [
  "end_turn",
  "max_turns",
  "max_tool_calls",
  "max_tokens",
  "max_cost",
  "timeout",
  "cancelled",
  "safety_blocked",
  "stop_condition",
  "error",
] as const;
export type StopReason = (typeof STOP_REASONS)[number];

/**
 * A run as its session stores it. Times are Unix milliseconds. `ranMs`: for how long it has been running before `runningSince`.
 * `step`: the number of the last step, 0 before the first. `turns`: those that it has added to its session. `input`: what the next step adds to the conversation, the JSON text of its
 * member `input`. `events`: the number of the last event of its stream. `stalls`: starts after which nothing has moved. `clientCall`: the call that it answers, if it
 * answers one; of such a run, `at` is the last turn that it has added, `alias` are the hashes behind the input of its first step, and `head`
 * is the session's head that its last turn moves, absent if that is to stay (`on_busy: "branch"`) or its call has a conversation. `leftTo`: the run that makes the calls
 * which its last reply has made beside those of its client.
 */
export type Run = {
  id: string;
  run: string;
  revision: number;
  status: RunStatus;
  stopReason?: StopReason;
  org: string;
  keyId: string;
  address?: string;
  sessionId: string;
  step: number;
  turns: number;
  toolCalls: number;
  costMicros: number;
  usage: Usage;
  ranMs: number;
  runningSince?: number;
  stalls: number;
  input: string;
  events: number;
  metadata?: Record<string, string>;
  clientCall?: string;
  at?: string;
  alias?: InputHashes;
  head?: string | null;
  leftTo?: string;
  createdAt: number;
  endedAt?: number;
  error?: { code: ErrorCode; message: string };
};

/**
 * What a run was started with; nothing changes it but a decision at a limit. `given`: what its client has sent, where that is not all of
 * the definition: it names a harness, or servers.
 */
export type FrozenRun = {
  id: string;
  run: string;
  status: "frozen";
  revision: number;
  definition: RunDefinition;
  given?: GivenRun;
};

export const STEP_STATUSES = ["calling", "tools", "committed", "dropped"] as const;

/**
 * One call of the model. `calling`: it is sent; `tools`: it has answered, and `turn` is what the session gets when all its calls have
 * results; `committed`: it has; `dropped`: it never will. `turnId`: of its turn, where that has not the id of its call. `answerId`: that
 * its provider has given its answer. `approvals`: the
 * ids of its calls that wait for the approval of the client whose call the run answers.
 */
export type Step = {
  id: string;
  run: string;
  revision: number;
  n: number;
  status: (typeof STEP_STATUSES)[number];
  call?: string;
  /** The limit because of which the model had to answer without tools, or after which it is not called again. */
  limit?: StopReason;
  /** The text of a reply that was broken off. */
  partial?: string;
  turn?: Turn;
  turnId?: string;
  answerId?: string;
  approvals?: string[];
  instructions?: Instructions;
};

/**
 * `awaiting_input`: its server needs an answer of a person first; `polling`: it goes on at its server, as a task;
 * `unknown`: it has started, whether it has happened is not known, and doing it again may do it twice.
 */
export const EXECUTION_STATUSES = [
  "awaiting_approval",
  "awaiting_client",
  "awaiting_input",
  "polling",
  "ready",
  "started",
  "succeeded",
  "failed",
  "timed_out",
  "denied",
  "expired",
  "cancelled",
  "unknown",
] as const;
export type ExecutionStatus = (typeof EXECUTION_STATUSES)[number];

/**
 * Where an execution at a server goes on: with the state that the server has given, or as a task of it, until `endsAt`. `answers`: of
 * people, by the keys of the questions. `rounds`: calls so far that the server has not ended with a result.
 */
export type Handle = {
  state?: string;
  task?: string;
  endsAt?: number;
  answers?: Record<string, McpAnswer>;
  rounds?: number;
};

/**
 * The execution of one tool call. `place`: of the call in its reply. `definition`: digest of its tool; `digest`: of the arguments, the
 * JSON text of which is what runs. `result`: what came; of a long one what the model is shown, and `full` the place of all of it.
 * `media`: came with it; they are the next turn's from its commit on. `dueAt`: when the client's result is overdue, or a task is polled next.
 */
export type Execution = {
  id: string;
  run: string;
  revision: number;
  step: number;
  place: number;
  call: string;
  name: string;
  kind: RunTool["type"] | "unknown";
  effect: Effect;
  definition: string;
  args: string;
  digest: string;
  status: ExecutionStatus;
  attempt: number;
  /** The id of the request with which the client of a call has approved it. */
  approval?: string;
  /** The arguments that a person has put in the place of the model's, as the model is shown them. */
  edited?: string;
  result?: string;
  full?: FullResult;
  isError?: boolean;
  media?: McpMedia[];
  handle?: Handle;
  /** What the shield has found in the result. */
  safety?: SafetyRecord;
  createdAt: number;
  startedAt?: number;
  dueAt?: number;
  endedAt?: number;
};

export const CHECKPOINT_KINDS = ["approval", "input", "unknown", "limit", "safety"] as const;

export const CHECKPOINT_STATUSES = [
  "open",
  "approved",
  "denied",
  "edited",
  "answered",
  "expired",
  "cancelled",
] as const;

/** What a person may decide at a checkpoint of each kind. */
export const DECISIONS = {
  approval: ["approve", "deny", "edit"],
  input: ["answer", "deny"],
  unknown: ["retry", "result", "fail"],
  limit: ["approve", "deny"],
  safety: ["approve", "deny"],
} as const;

export type DecisionName = (typeof DECISIONS)[keyof typeof DECISIONS][number];

/** A decision as it was made. Never changes. `remember`: an approval of the same tool's later calls as well. */
export type ResolvedDecision = { decision: DecisionName; by: string; at: number; reason?: string; remember?: "run" };

/**
 * Where a run waits for a decision. What is decided about is bound: the run's key, the tool, and the digests of its definition, of the exact
 * arguments and of the policy, until an expiry. It is used once.
 */
export type RunCheckpoint = {
  id: string;
  run: string;
  revision: number;
  kind: (typeof CHECKPOINT_KINDS)[number];
  status: (typeof CHECKPOINT_STATUSES)[number];
  execution?: string;
  approver: ToolVerdict["approver"];
  bound: { keyId: string; tool?: string; definition?: string; digest?: string; policy?: string };
  /** What a server asks a person. */
  question?: McpQuestion;
  /** What the shield has held back. */
  safety?: SafetyRecord;
  decided?: ResolvedDecision;
  createdAt: number;
  expiresAt: number;
};

const SETTLED: ReadonlySet<ExecutionStatus> = new Set([
  "succeeded",
  "failed",
  "timed_out",
  "denied",
  "expired",
  "cancelled",
]);

/** Whether an execution has what the model is shown of it. */
export const isSettled = ({ status }: Pick<Execution, "status">): boolean => SETTLED.has(status);

export const isWaiting = ({ status }: Pick<Run, "status">): boolean =>
  status === "waiting_for_tool" || status === "waiting_for_approval" || status === "interrupted";

export const hasEnded = ({ status }: Pick<Run, "status">): boolean =>
  status === "completed" || status === "failed" || status === "cancelled";

/** A run that answers a call claims nothing: its call has the lease. */
export const mayClaim = ({ clientCall }: Run): boolean => clientCall === undefined;

/** The turn with which a run ends that answers a call: its client knows the call only. */
export const lastTurnOf = ({ clientCall }: Pick<Run, "clientCall">): string | undefined =>
  clientCall === undefined ? undefined : withPrefix(clientCall, "turn");

/** Ids of steps sort by their numbers. */
export const stepIdOf = (run: string, n: number): string => `${run}/${String(n).padStart(4, "0")}`;

/** The id of a step's turn. Undefined: it has made no call. */
export const turnOfStep = ({ call, turnId }: Pick<Step, "call" | "turnId">): string | undefined =>
  turnId ?? (call === undefined ? undefined : withPrefix(call, "turn"));

/** Why a running run is stopped. */
export type Stop = "timeout" | "cancel" | "interrupt";

/**
 * A run while it is running. `controller` aborts its call and its tools; `stop` says why. `caller`: as the call was admitted that the run
 * answers; absent: the run's key, read anew for each step.
 */
export type LiveRun = {
  run: Run;
  definition: RunDefinition;
  controller: AbortController;
  stop?: Stop;
  caller?: Caller;
};

/** What is known of a run when it is made. */
type NewRunMembers = Pick<Run, "id" | "org" | "keyId" | "address" | "sessionId" | "input" | "metadata" | "clientCall">;

/** A run that has not started. */
export const toNewRun = (members: NewRunMembers, now: number): Run => ({
  ...members,
  run: members.id,
  revision: 0,
  status: "queued",
  step: 0,
  turns: 0,
  toolCalls: 0,
  costMicros: 0,
  usage: {},
  ranMs: 0,
  stalls: 0,
  events: 0,
  createdAt: now,
});
