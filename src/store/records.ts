import { and, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { ErrorCode } from "../canonical/error.ts";
import type { Loss, Usage } from "../canonical/types.ts";
import { withPrefix } from "../wire/id.ts";
import type { Json } from "../wire/json.ts";
import { calls, runs } from "./schema.ts";
import { type SessionRecord, upsertSessions } from "./sessions.ts";
import { upsertInto } from "./upsert.ts";

/** What is known of a call when it has ended, whichever way; never what was said in it. Times are Unix milliseconds. */
export type CallRecord = {
  id: string;
  org: string;
  sessionId: string;
  turnId?: string;
  keyId: string;
  surface: string;
  stream: boolean;
  contextMode: "stateful" | "stateless";
  modelAsked: string;
  /** The model and provider that answered. */
  model?: string;
  provider?: string;
  /** `incomplete`: the provider never said that it was done. `interrupted`: cancelled, or cut off by a crash of ours. */
  status: "completed" | "incomplete" | "failed" | "interrupted";
  finishReason?: string;
  usage: Usage;
  costMicrosUsd?: number;
  /** Milliseconds: spent in the gateway, until the upstream's first byte, from request to end. */
  latency: { gateway: number; firstByte?: number; total: number };
  attempts: Attempt[];
  losses: Loss[];
  error?: { code: ErrorCode; message: string; status: number };
  metadata?: Record<string, string>;
  /** What its key's accounts had set aside for it, and what of that it took: micro-dollars, and tokens in and out. */
  charge?: {
    parts: { account: string; grant: string; micros: number; tokens: number }[];
    micros: number;
    tokens: number;
  };
  createdAt: number;
  endedAt: number;
};

/** What travels through outboxes and the queue. */
export type StoredRecord = CallRecord | SessionRecord;

export type Attempt = {
  provider: string;
  model: string;
  /** The upstream's status; absent when none came. */
  status?: number;
  /** Why the call went on without it; absent for the one that answered. */
  error?: ErrorCode;
  reason?: string;
  startedAt: number;
  /** Milliseconds until its first content came, or all of a whole answer, or until it failed. */
  ms: number;
} & DiscardedUsage;

/** What an attempt counted and cost though the answer is not its own; no part of the call's. */
export type DiscardedUsage = { usage?: Usage; costMicrosUsd?: number };

/**
 * Writes records into D1, all of them or none, in one statement for each table. Queues deliver at least once and in any
 * order: the newest record of a thing leaves one row.
 */
export async function upsertRecords(d1: D1Database, records: readonly StoredRecord[]): Promise<void> {
  const ofSessions = records.filter((record) => "object" in record);
  const ofCalls = records.flatMap((record) => ("object" in record ? [] : [record]));
  const statements = [
    ...upsertCalls(d1, ofCalls.map(toCallRow)),
    ...upsertRuns(d1, ofCalls.map(toRunRow)),
    ...upsertSessions(d1, ofSessions),
  ];
  if (statements.length > 0) await d1.batch(statements);
}

const upsertCalls = upsertInto(calls, [calls.id]);
const upsertRuns = upsertInto(runs, [runs.id]);

export async function findCall(d1: D1Database, org: string, id: string): Promise<CallRecord | undefined> {
  const found = await drizzle(d1)
    .select()
    .from(calls)
    .where(and(eq(calls.id, id), eq(calls.org, org)))
    .limit(1);
  return found[0] === undefined ? undefined : toRecord(found[0]);
}

/** A plain call is a run of one call, and they share all but the prefix of their ids. */
export const runIdOf = (callId: string): string => withPrefix(callId, "run");

function toRunRow(record: CallRecord): typeof runs.$inferInsert {
  const { id, org, sessionId, keyId, status, createdAt, endedAt } = record;
  return { id: runIdOf(id), org, sessionId, keyId, status, stopReason: stopReasonOf(record), createdAt, endedAt };
}

export function stopReasonOf({ status, finishReason }: CallRecord): string {
  if (status !== "completed") return "error";
  return finishReason === "length" ? "max_tokens" : "end_turn";
}

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

/** D1's null is our absent. */
const withoutNull = (row: object): object =>
  Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));
