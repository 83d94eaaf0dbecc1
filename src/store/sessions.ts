import { and, desc, eq, gte, lt, ne, or, type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { sessions } from "./schema.ts";
import { upsertInto } from "./upsert.ts";

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
  const { status, metadata, createdFrom, createdBefore, after } = filter;
  const conditions: (SQL | undefined)[] = [
    eq(sessions.org, org),
    status === undefined ? ne(sessions.status, "deleted") : eq(sessions.status, status),
    createdFrom === undefined ? undefined : gte(sessions.createdAt, createdFrom),
    createdBefore === undefined ? undefined : lt(sessions.createdAt, createdBefore),
    after &&
      or(
        lt(sessions.createdAt, after.createdAt),
        and(eq(sessions.createdAt, after.createdAt), lt(sessions.id, after.id)),
      ),
    // `json_each` compares keys as values: a JSON path could not express every key.
    ...Object.entries(metadata).map(
      ([key, value]) =>
        sql`exists (select 1 from json_each(${sessions.metadata}) as pair where pair.key = ${key} and pair.value = ${value})`,
    ),
  ];
  const rows = await drizzle(d1)
    .select()
    .from(sessions)
    .where(and(...conditions))
    .orderBy(desc(sessions.createdAt), desc(sessions.id))
    .limit(limit);
  return rows.map(({ phase, head, origin, ...row }) => ({
    object: "session",
    ...row,
    ...(phase !== null && { phase }),
    ...(head !== null && { head }),
    ...(origin !== null && { origin }),
  }));
}

/** When a session was created, in Unix milliseconds: the sort key for the next page after it. Undefined if it is not listed. */
export async function findSessionCreatedAt(d1: D1Database, org: string, id: string): Promise<number | undefined> {
  const { createdAt } = sessions;
  const [found] = await drizzle(d1)
    .select({ createdAt })
    .from(sessions)
    .where(and(eq(sessions.org, org), eq(sessions.id, id)));
  return found?.createdAt;
}

/** Writes records, except over a newer one: of the same session, or of a session created later under the same id. */
export const upsertSessions = upsertInto(
  sessions,
  [sessions.org, sessions.id],
  `sessions.created_at < excluded.created_at
    OR (sessions.created_at = excluded.created_at AND sessions.revision < excluded.revision)`,
);

/** Writes one record at once, bypassing the queue, for sessions that must be listed before the response is sent. */
export const upsertSession = async (d1: D1Database, record: SessionRecord): Promise<void> =>
  void (await d1.batch(upsertSessions(d1, [record])));
