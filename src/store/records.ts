import { and, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { ErrorCode } from "../canonical/error.ts";
import type { Loss, Usage } from "../canonical/types.ts";
import { withPrefix } from "../wire/id.ts";
import type { Json } from "../wire/json.ts";
import { type CompletionRecord, upsertCompletions } from "./completions.ts";
import { calls, runs } from "./schema.ts";
import { type SessionRecord, upsertSessions } from "./sessions.ts";
import { upsertInto } from "./upsert.ts";

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
  createdAt: number;
  endedAt: number;
};

/** A record as it is stored in outboxes and sent through the queue. */
export type StoredRecord = CallRecord | SessionRecord | CompletionRecord;

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

/**
 * Writes records to D1, all of them or none, with one statement per table. A queue delivers at least once and in any order,
 * so writing is idempotent and an older record of a session does not replace a newer one.
 */
export async function upsertRecords(d1: D1Database, records: readonly StoredRecord[]): Promise<void> {
  const others = records.filter((record) => "object" in record);
  const callRecords = records.flatMap((record) => ("object" in record ? [] : [record]));
  const statements = [
    ...upsertCalls(d1, callRecords.map(toCallRow)),
    ...upsertRuns(d1, callRecords.map(toRunRow)),
    ...upsertSessions(
      d1,
      others.filter((record) => record.object === "session"),
    ),
    ...upsertCompletions(
      d1,
      others.filter((record) => record.object === "completion"),
    ),
  ];
  if (statements.length > 0) await d1.batch(statements);
}

const upsertCalls = upsertInto(calls, [calls.id]);
const upsertRuns = upsertInto(runs, [runs.id]);

/** The record of a call; undefined if the organisation has none of that id. */
export async function findCall(d1: D1Database, org: string, id: string): Promise<CallRecord | undefined> {
  const found = await drizzle(d1)
    .select()
    .from(calls)
    .where(and(eq(calls.id, id), eq(calls.org, org)))
    .limit(1);
  return found[0] === undefined ? undefined : toRecord(found[0]);
}

/** The id of a call's run. A call is a run of one call; their ids differ in the prefix only. */
export const runIdOf = (callId: string): string => withPrefix(callId, "run");

function toRunRow(record: CallRecord): typeof runs.$inferInsert {
  const { id, org, sessionId, keyId, status, createdAt, endedAt } = record;
  return { id: runIdOf(id), org, sessionId, keyId, status, stopReason: stopReasonOf(record), createdAt, endedAt };
}

/** Why the run ended: `end_turn`, `max_tokens` or `error`. */
export function stopReasonOf({ status, finishReason }: CallRecord): string {
  if (status !== "completed") return "error";
  return finishReason === "length" ? "max_tokens" : "end_turn";
}

/** A record → its row; `charge` is not stored in D1. */
function toCallRow(record: CallRecord): typeof calls.$inferInsert {
  const { usage, latency, charge: _, ...same } = record;
  return {
    ...same,
    runId: runIdOf(record.id),
    tokensFresh: usage.fresh,
    tokensCacheRead: usage.cacheRead,
    tokensCacheWrite: usage.cacheWrite,
    tokensOutput: usage.output,
    tokensReasoning: usage.reasoning,
    tokensInputAudio: usage.inputAudio,
    tokensOutputAudio: usage.outputAudio,
    tokensCacheWrite1h: usage.cacheWrite1h,
    searches: usage.searches,
    usageNative: usage.native,
    latencyGatewayMs: latency.gateway,
    latencyFirstByteMs: latency.firstByte,
    latencyTotalMs: latency.total,
  };
}

/** A row → its record. Inverse of `toCallRow`. */
function toRecord(row: typeof calls.$inferSelect): CallRecord {
  const {
    runId: _,
    tokensFresh,
    tokensCacheRead,
    tokensCacheWrite,
    tokensOutput,
    tokensReasoning,
    tokensInputAudio,
    tokensOutputAudio,
    tokensCacheWrite1h,
    searches,
    usageNative,
    ...rest
  } = row;
  const { latencyGatewayMs, latencyFirstByteMs, latencyTotalMs, ...same } = rest;
  const usage = {
    fresh: tokensFresh,
    cacheRead: tokensCacheRead,
    cacheWrite: tokensCacheWrite,
    output: tokensOutput,
    reasoning: tokensReasoning,
    inputAudio: tokensInputAudio,
    outputAudio: tokensOutputAudio,
    cacheWrite1h: tokensCacheWrite1h,
    searches,
  };
  return withoutNull({
    ...same,
    usage: withoutNull({ ...usage, native: usageNative as Json }),
    latency: withoutNull({ gateway: latencyGatewayMs, firstByte: latencyFirstByteMs, total: latencyTotalMs }),
  }) as CallRecord;
}

/** The row without its null members: absent members are stored as null. */
const withoutNull = (row: object): object =>
  Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));
