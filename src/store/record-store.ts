import { and, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { ADDED_COLUMNS, toCallRecord, toCallRow } from "./call-rows.ts";
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
export async function appendRecords(d1: D1Database, records: readonly StoredRecord[]): Promise<void> {
  const others = records.filter((record) => "object" in record);
  const ended = records.flatMap((record) => ("object" in record ? [] : [record]));
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

/** Of two records of one call, the one that ended later is right: a crash has ended the other. */
const upsertCalls = upsertInto(callRecords, {
  key: [callRecords.org, callRecords.id],
  fixed: [callRecords.sessionId],
  others: ADDED_COLUMNS,
  isNewer: "call_records.ended_at < excluded.ended_at",
});

/** The record of a call; undefined if the organisation has none of that id. */
export async function findCall(d1: D1Database, org: string, id: string): Promise<CallRecord | undefined> {
  const [found] = await drizzle(d1)
    .select()
    .from(callRecords)
    .where(and(eq(callRecords.org, org), eq(callRecords.id, id)));
  return found === undefined ? await findOldCall(d1, org, id) : toCallRecord(found);
}
