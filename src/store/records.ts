import type { ErrorCode } from "../canonical/error.ts";
import type { Loss, Usage } from "../canonical/types.ts";
import { withPrefix } from "../wire/id.ts";
import type { CompletionRecord } from "./completions.ts";
import type { CheckpointRecord, RunRecord, ToolExecutionRecord } from "./run-records.ts";
import type { SessionRecord } from "./sessions.ts";

/** The record of a call that has ended, successfully or not. Holds no content. Times are Unix milliseconds. */
export type CallRecord = {
  id: string;
  org: string;
  sessionId: string;
  turnId?: string;
  keyId: string;
  surface: string;
  stream: boolean;
  contextMode: "stateful" | "stateless";
  /** The model name in the request. */
  modelAsked: string;
  /** The model and provider that answered. */
  model?: string;
  provider?: string;
  /** `incomplete`: the stream ended without a terminal event. `interrupted`: cancelled, or the gateway crashed. */
  status: "completed" | "incomplete" | "failed" | "interrupted";
  finishReason?: string;
  usage: Usage;
  costMicrosUsd?: number;
  /** Milliseconds: spent in the gateway; until the upstream's first byte; from the request to the end. */
  latency: { gateway: number; firstByte?: number; total: number };
  attempts: Attempt[];
  losses: Loss[];
  error?: { code: ErrorCode; message: string; status: number; retryAfterSeconds?: number };
  metadata?: Record<string, string>;
  /**
   * The conversation to which its client says that it belongs. `isBeside`: a sub-agent's call, or one that shares nothing with
   * the main conversation.
   */
  conversation?: { client: string; recognizedBy: string; agent?: string; isBeside?: true };
  /** The grants reserved from its key's accounts, and the part used: micro-dollars, and tokens of input and output. */
  charge?: {
    parts: { account: string; grant: string; micros: number; tokens: number }[];
    micros: number;
    tokens: number;
  };
  /** The run of which it is a step; absent for a plain call. */
  runId?: string;
  /** What the shield has found; absent if nothing, or if it is off. */
  safety?: SafetyRecord;
  createdAt: number;
  endedAt: number;
};

/**
 * What the shield has found in a call, at each stage: kinds of values and how many, what could not be read, signs of injected
 * instructions and their score (0 to 1). Never a value.
 */
export type SafetyRecord = {
  profile: string;
  version: number;
  mode: "observe" | "enforce";
  decisions: {
    stage: string;
    disposition: string;
    values?: Record<string, number>;
    unscanned?: Record<string, number>;
    signs?: string[];
    score?: number;
    /** What a judge has decided. */
    judgement?: "allow" | "deny" | "failed";
  }[];
};

/** A record as it is stored in outboxes and sent through the queue. */
export type StoredRecord =
  | CallRecord
  | SessionRecord
  | CompletionRecord
  | RunRecord
  | ToolExecutionRecord
  | CheckpointRecord;

/** One request to a provider, within a call. */
export type Attempt = {
  provider: string;
  model: string;
  /** The upstream's status; absent if it sent none. */
  status?: number;
  /** Why it failed; absent for the attempt whose answer was used. */
  error?: ErrorCode;
  reason?: string;
  startedAt: number;
  /** Milliseconds until the first content of a stream, the end of a whole answer, or the failure. */
  ms: number;
} & DiscardedUsage;

/** Usage and cost of an attempt whose output was discarded. Not included in the call's own. */
export type DiscardedUsage = { usage?: Usage; costMicrosUsd?: number };

/** The id of a call's run. A plain call is a run of one call; their ids differ in the prefix only. */
export const runIdOf = ({ id, runId }: Pick<CallRecord, "id" | "runId">): string => runId ?? withPrefix(id, "run");

/** The error of a call during which the gateway was restarted: such a call is `interrupted` without being cancelled. */
export const RESTARTED = {
  code: "stream.interrupted",
  message: "the gateway was restarted during this call",
  status: 502,
} as const satisfies CallRecord["error"];

type Ending = Pick<CallRecord, "status" | "finishReason" | "error">;

/** Why a call ended, in the words of a run. */
export function stopReasonOf({ status, finishReason, error }: Ending): string {
  if (status === "completed") return finishReason === "length" ? "max_tokens" : "end_turn";
  if (status === "interrupted" && error?.message !== RESTARTED.message) return "cancelled";
  return error?.code === "safety.policy_denied" ? "safety_blocked" : "error";
}
