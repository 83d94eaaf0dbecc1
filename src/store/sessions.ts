import { and, desc, eq, gte, lt, ne, or, type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { listOldSessions, type SessionTable } from "./old/sessions.ts";
import { sessionRecords } from "./schema.ts";
import { splitRows, upsertInto } from "./upsert.ts";

type SessionRow = typeof sessionRecords.$inferSelect;

/** A session as lists show it. Of two records of one session the one with the higher `revision` is newer. */
export type SessionRecord = {
  object: "session";
  id: string;
  org: string;
  /** `deleted`: a tombstone, so that an older record that arrives later does not restore the session. */
  status: "active" | "paused" | "deleted";
  phase?: string;
  head?: string;
  turns: number;
  metadata: Record<string, string>;
  origin?: { session: string; turn: string | null };
  revision: number;
  createdAt: number;
  updatedAt: number;
};

/** Selects sessions. Times are Unix milliseconds: `createdFrom` is inclusive, `createdBefore` exclusive. */
export type SessionFilter = {
  status?: SessionRecord["status"];
  metadata: Record<string, string>;
  createdFrom?: number;
  createdBefore?: number;
  /** The last session of the previous page. */
  after?: Pick<SessionRecord, "createdAt" | "id">;
};

/** A page of an organisation's sessions, newest first; deleted ones only on request. */
export async function listSessions(
  d1: D1Database,
  { org, filter, limit }: { org: string; filter: SessionFilter; limit: number },
): Promise<SessionRecord[]> {
  const rows = await drizzle(d1)
    .select()
    .from(sessionRecords)
    .where(conditionOf(sessionRecords, org, filter))
    .orderBy(desc(sessionRecords.createdAt), desc(sessionRecords.id))
    .limit(limit);
  const old = await listOldSessions(d1, (table) => conditionOf(table, org, filter), limit);
  return [...rows, ...old].toSorted(newestFirst).slice(0, limit).map(toSession);
}

/** The condition that the filter is, on a table of sessions. */
function conditionOf(
  table: SessionTable,
  org: string,
  { status, metadata, createdFrom, createdBefore, after }: SessionFilter,
): SQL | undefined {
  const { createdAt, id } = table;
  return and(
    eq(table.org, org),
    status === undefined ? ne(table.status, "deleted") : eq(table.status, status),
    createdFrom === undefined ? undefined : gte(createdAt, createdFrom),
    createdBefore === undefined ? undefined : lt(createdAt, createdBefore),
    after && or(lt(createdAt, after.createdAt), and(eq(createdAt, after.createdAt), lt(id, after.id))),
    // `json_each` compares keys as values: a JSON path could not express every key.
    ...Object.entries(metadata).map(
      ([key, value]) =>
        sql`exists (select 1 from json_each(${table.metadata}) as pair where pair.key = ${key} and pair.value = ${value})`,
    ),
  );
}

const newestFirst = (a: SessionRow, b: SessionRow): number => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1);

const toSession = ({ phase, head, origin, ...row }: SessionRow): SessionRecord => ({
  object: "session",
  ...row,
  ...(phase !== null && { phase }),
  ...(head !== null && { head }),
  ...(origin !== null && { origin }),
});

/** When a session was created, in Unix milliseconds: the sort key for the next page after it. Undefined if it is not listed. */
export async function findSessionCreatedAt(d1: D1Database, org: string, id: string): Promise<number | undefined> {
  const isIt = (table: SessionTable): SQL | undefined => and(eq(table.org, org), eq(table.id, id));
  const [found] = await drizzle(d1).select().from(sessionRecords).where(isIt(sessionRecords));
  return (found ?? (await listOldSessions(d1, isIt, 1))[0])?.createdAt;
}

/** Writes records, except over a newer one: of the same session, or of a session created later under the same id. */
export function upsertSessions(d1: D1Database, records: readonly SessionRecord[]): D1PreparedStatement[] {
  const newest = new Map<string, SessionRecord>();
  for (const record of records) {
    const key = JSON.stringify([record.org, record.id]);
    const known = newest.get(key);
    if (known === undefined || isNewer(record, known)) newest.set(key, record);
  }
  const rows = [...newest.values()];
  return [...splitRows(rows).map((list) => d1.prepare(REMOVE_EARLIER).bind(list)), ...writeSessions(d1, rows)];
}

const isNewer = (a: SessionRecord, b: SessionRecord): boolean =>
  a.createdAt === b.createdAt ? a.revision > b.revision : a.createdAt > b.createdAt;

/** Rows of sessions that others under the same id have followed. */
const REMOVE_EARLIER = `DELETE FROM session_records WHERE (org, id) IN (
  SELECT known.org, known.id FROM json_each(?) AS later JOIN session_records AS known
  ON known.org = later.value ->> '$.org' AND known.id = later.value ->> '$.id'
  WHERE known.created_at < later.value ->> '$.createdAt')`;

const writeSessions = upsertInto(sessionRecords, {
  key: [sessionRecords.org, sessionRecords.id],
  fixed: [sessionRecords.createdAt],
  // What comes late of a session that was erased. One of an erased organisation is listed: its content is still to be erased.
  onlyIf: `NOT EXISTS (SELECT 1 FROM erasures
    WHERE erasures.org = value ->> '$.org' AND erasures.session_id = value ->> '$.id')`,
  isNewer: "session_records.created_at = excluded.created_at AND session_records.revision < excluded.revision",
});

/** Writes one record at once, bypassing the queue, for sessions that must be listed before the response is sent. */
export const upsertSession = async (d1: D1Database, record: SessionRecord): Promise<void> =>
  void (await d1.batch(upsertSessions(d1, [record])));
