import { and, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { type CallPatch, changeHot, moveChanges, noteChange } from "./archive/changes.ts";
import type { StoredRow } from "./archive/columns.ts";
import { FRESH_MS } from "./archive/seal.ts";
import {
  findSealedRow,
  findSealedVersions,
  keyOfCall,
  type RecordSources,
  type SealedVersion,
} from "./archive/sealed-calls.ts";
import { ADDED_COLUMNS, fromStoredRow, toCallRecord, toCallRow } from "./call-rows.ts";
import { upsertCompletions } from "./completions.ts";
import { findOldCall } from "./old/calls.ts";
import { moveOldCall } from "./old/move.ts";
import type { CallRecord, StoredRecord } from "./records.ts";
import { isErased, isNotErased } from "./retention/erasures.ts";
import { upsertCheckpoints, upsertRuns, upsertToolExecutions } from "./run-records.ts";
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
  const late = calls.filter(({ createdAt }) => now - createdAt > FRESH_MS / 2);
  const sealed = late.length === 0 ? NOTHING : await findSealedVersions(sources, late);
  const versionOf = (record: CallRecord): SealedVersion | undefined => sealed.get(keyOfCall(record));
  const written = calls.filter((record) => record.endedAt > (versionOf(record)?.endedAt ?? 0));
  const rows = written.map((record) => toCallRow(record, versionOf(record)?.added));
  const statements = [
    ...upsertCalls(d1, rows),
    ...moveChanges(d1, written.filter(versionOf)),
    ...upsertSessions(
      d1,
      others.filter((record) => record.object === "session"),
    ),
    ...upsertCompletions(
      d1,
      others.filter((record) => record.object === "completion"),
    ),
    ...upsertRuns(
      d1,
      others.filter((record) => record.object === "run"),
    ),
    ...upsertToolExecutions(
      d1,
      others.filter((record) => record.object === "tool_execution"),
    ),
    ...upsertCheckpoints(
      d1,
      others.filter((record) => record.object === "checkpoint"),
    ),
  ];
  if (statements.length > 0) await d1.batch(statements);
}

const NOTHING: ReadonlyMap<string, SealedVersion> = new Map();

/**
 * Of two records of one call, the one that ended later is right: a crash has ended the other. One that a file has already must
 * not stand in D1 as well; nothing younger than `FRESH_MS` can be in a file.
 */
const upsertCalls = upsertInto(callRecords, {
  key: [callRecords.org, callRecords.id],
  fixed: [callRecords.sessionId, ...ADDED_COLUMNS],
  counter: callRecords.changes,
  isNewer: "call_records.ended_at < excluded.ended_at",
  // What comes late of a session that was erased.
  onlyIf: isNotErased({
    org: "value ->> '$.org'",
    session: "value ->> '$.sessionId'",
    createdAt: "value ->> '$.createdAt'",
  }),
});

/**
 * Changes what was added to a call's row after its end, wherever it is stored. Resolves to whether the organisation has such a
 * call. `now`: Unix milliseconds.
 */
export async function changeCall(
  sources: RecordSources,
  call: { org: string; id: string },
  patch: CallPatch,
  now = Date.now(),
): Promise<boolean> {
  const { d1 } = sources;
  const { org, id } = call;
  await moveOldCall(d1, call);
  if ((await changeHot(d1, call, patch).run()).meta.changes > 0) return true;
  const sealed = await findReadable(sources, org, id);
  if (sealed === undefined) return false;
  const sessionId = String(sealed.session_id);
  await noteChange(d1, { org, id, sessionId, changes: Number(sealed.changes) + 1 }, patch, now);
  return true;
}

/** The record of a call, wherever it is stored; undefined if the organisation has none of that id. */
export async function findCall(sources: RecordSources, org: string, id: string): Promise<CallRecord | undefined> {
  const { d1 } = sources;
  // The old table first: rows are moved from there.
  const old = await findOldCall(d1, org, id);
  const [found] = await drizzle(d1)
    .select()
    .from(callRecords)
    .where(and(eq(callRecords.org, org), eq(callRecords.id, id)));
  if (found === undefined && old === undefined) {
    const sealed = await findReadable(sources, org, id);
    return sealed && toCallRecord(fromStoredRow(sealed));
  }
  const record = found === undefined ? old! : toCallRecord(found);
  return (await isErased(d1, org, { id, session_id: record.sessionId })) ? undefined : record;
}

/** The row of a call in the files, unless its session was erased. */
async function findReadable(sources: RecordSources, org: string, id: string): Promise<StoredRow | undefined> {
  const sealed = await findSealedRow(sources, org, id);
  if (sealed === undefined) return undefined;
  return (await isErased(sources.d1, org, { id, session_id: String(sealed.session_id) })) ? undefined : sealed;
}
