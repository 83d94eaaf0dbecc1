import { and, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { FRESH_MS } from "./archive/seal.ts";
import { findSealedRow, type RecordSources } from "./archive/sealed-calls.ts";
import { ADDED_COLUMNS, fromStoredRow, toCallRecord, toCallRow } from "./call-rows.ts";
import { upsertCompletions } from "./completions.ts";
import { findOldCall } from "./old/calls.ts";
import type { CallRecord, StoredRecord } from "./records.ts";
import { callRecords } from "./schema.ts";
import { upsertSessions } from "./sessions.ts";
import { upsertInto } from "./upsert.ts";

/**
 * Writes records to D1, all of them or none, with one statement per table. They are delivered at least once and in any
 * order: one that is there already writes nothing, and an older record of a session does not replace a newer one.
 */
export async function appendRecords(
  sources: RecordSources,
  records: readonly StoredRecord[],
  now = Date.now(),
): Promise<void> {
  const { d1 } = sources;
  const others = records.filter((record) => "object" in record);
  const calls = records.flatMap((record) => ("object" in record ? [] : [record]));
  const isNew = await Promise.all(calls.map((record) => isUnsealed(sources, record, now)));
  const ended = calls.filter((_, i) => isNew[i]);
  const statements = [
    ...upsertCalls(d1, ended.map(toCallRow)),
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

/**
 * Whether no file has the call: one that comes again after its slice was sealed must not stand in D1 as well. Nothing that
 * is younger can be in a file.
 */
const isUnsealed = async (sources: RecordSources, { org, id, createdAt }: CallRecord, now: number): Promise<boolean> =>
  now - createdAt < FRESH_MS || (await findSealedRow(sources, org, id)) === undefined;

/** Of two records of one call, the one that ended later is right: a crash has ended the other. */
const upsertCalls = upsertInto(callRecords, {
  key: [callRecords.org, callRecords.id],
  fixed: [callRecords.sessionId],
  others: ADDED_COLUMNS,
  isNewer: "call_records.ended_at < excluded.ended_at",
});

/** The record of a call, wherever it is stored; undefined if the organisation has none of that id. */
export async function findCall(sources: RecordSources, org: string, id: string): Promise<CallRecord | undefined> {
  const { d1 } = sources;
  const [found] = await drizzle(d1)
    .select()
    .from(callRecords)
    .where(and(eq(callRecords.org, org), eq(callRecords.id, id)));
  if (found !== undefined) return toCallRecord(found);
  const old = await findOldCall(d1, org, id);
  if (old !== undefined) return old;
  const sealed = await findSealedRow(sources, org, id);
  return sealed && toCallRecord(fromStoredRow(sealed));
}
