import { and, eq } from "drizzle-orm";
import type { BatchItem } from "drizzle-orm/batch";
import { drizzle } from "drizzle-orm/d1";
import type { ErrorCode } from "../canonical/error.ts";
import type { Loss, Usage } from "../canonical/types.ts";
import { renamed } from "../wire/id.ts";
import type { Json } from "../wire/json.ts";
import { calls, runs } from "./schema.ts";
import { type SessionRecord, upsertSession } from "./sessions.ts";

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
export type Kept = CallRecord | SessionRecord;

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
} & Waste;

/** What an attempt counted and cost though the answer is not its own; no part of the call's. */
export type Waste = { usage?: Usage; costMicrosUsd?: number };

/** Writes records into D1. Queues deliver at least once and in any order: the newest record of a thing leaves one row. */
export async function keepRecords(d1: D1Database, records: readonly Kept[]): Promise<void> {
  const db = drizzle(d1);
  const statements = records.flatMap((record): BatchItem<"sqlite">[] => {
    if ("object" in record) return [upsertSession(db, record)];
    const call = callRow(record);
    const run = runRow(record);
    return [
      db.insert(calls).values(call).onConflictDoUpdate({ target: calls.id, set: call }),
      db.insert(runs).values(run).onConflictDoUpdate({ target: runs.id, set: run }),
    ];
  });
  const [first, ...rest] = statements;
  if (first !== undefined) await db.batch([first, ...rest]);
}

export async function findCall(d1: D1Database, org: string, id: string): Promise<CallRecord | undefined> {
  const found = await drizzle(d1)
    .select()
    .from(calls)
    .where(and(eq(calls.id, id), eq(calls.org, org)))
    .limit(1);
  return found[0] === undefined ? undefined : recordOf(found[0]);
}

/** A plain call is a run of one call, and they share all but the prefix of their ids. */
export const runIdOf = (callId: string): string => renamed(callId, "run");

function runRow(record: CallRecord): typeof runs.$inferInsert {
  const { id, org, sessionId, keyId, status, createdAt, endedAt } = record;
  return { id: runIdOf(id), org, sessionId, keyId, status, stopReason: stopReasonOf(record), createdAt, endedAt };
}

export function stopReasonOf({ status, finishReason }: CallRecord): string {
  if (status !== "completed") return "error";
  return finishReason === "length" ? "max_tokens" : "end_turn";
}

function callRow(record: CallRecord): typeof calls.$inferInsert {
  const { usage, latency, charge: _, ...same } = record;
  return {
    ...same,
    runId: runIdOf(record.id),
    tokensFresh: usage.fresh ?? null,
    tokensCacheRead: usage.cacheRead ?? null,
    tokensCacheWrite: usage.cacheWrite ?? null,
    tokensOutput: usage.output ?? null,
    tokensReasoning: usage.reasoning ?? null,
    tokensInputAudio: usage.inputAudio ?? null,
    tokensOutputAudio: usage.outputAudio ?? null,
    tokensCacheWrite1h: usage.cacheWrite1h ?? null,
    searches: usage.searches ?? null,
    usageNative: usage.native ?? null,
    latencyGatewayMs: latency.gateway,
    latencyFirstByteMs: latency.firstByte ?? null,
    latencyTotalMs: latency.total,
  };
}

function recordOf(row: typeof calls.$inferSelect): CallRecord {
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
  return present({
    ...same,
    usage: present({ ...usage, native: usageNative as Json }),
    latency: present({ gateway: latencyGatewayMs, firstByte: latencyFirstByteMs, total: latencyTotalMs }),
  }) as CallRecord;
}

/** D1's null is our absent. */
const present = (row: object): object => Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));
