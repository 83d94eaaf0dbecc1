import { and, asc, eq, inArray, notInArray, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { firstId } from "../../wire/id.ts";
import { erasures } from "../schema.ts";

/** A session whose data are to be erased, or an organisation, and how far that has come. */
export type Erasure = typeof erasures.$inferSelect;

/** Instead of a session's id: all data of the organisation from before the request. */
export const WHOLE_ORGANIZATION = "";

const isIt = ({ org, sessionId }: Pick<Erasure, "org" | "sessionId">) =>
  and(eq(erasures.org, org), eq(erasures.sessionId, sessionId));

/**
 * Requests an erasure: from now on nothing of it is read or stored. A session's that was requested before is returned; an
 * organisation's that is done is followed by the new one.
 */
export async function requestErasure(
  d1: D1Database,
  request: Pick<Erasure, "org" | "sessionId" | "id" | "requestedBy" | "requestedAt">,
): Promise<Erasure> {
  const db = drizzle(d1);
  const { id, requestedBy, requestedAt } = request;
  const again = { id, requestedBy, requestedAt, state: "requested", doneAt: null, checked: null, calls: 0, files: 0 };
  await db
    .insert(erasures)
    .values({ ...request, state: "requested" })
    .onConflictDoUpdate({
      target: [erasures.org, erasures.sessionId],
      set: again as Partial<Erasure>,
      setWhere: sql`${erasures.sessionId} = ${WHOLE_ORGANIZATION} AND ${erasures.state} = 'done'`,
    });
  return (await db.select().from(erasures).where(isIt(request)))[0]!;
}

export async function findErasure(d1: D1Database, org: string, id: string): Promise<Erasure | undefined> {
  const isOne = and(eq(erasures.org, org), eq(erasures.id, id));
  return (await drizzle(d1).select().from(erasures).where(isOne))[0];
}

type StoredCall = { id: string; session_id: string };

/** Whether a call's row is of what is erased. */
export const isErasedBy = (
  { sessionId, requestedAt }: Pick<Erasure, "sessionId" | "requestedAt">,
  { id, session_id }: StoredCall,
): boolean => (sessionId === WHOLE_ORGANIZATION ? id < firstId("call", requestedAt) : session_id === sessionId);

export async function isErased(d1: D1Database, org: string, call: StoredCall): Promise<boolean> {
  const found = await drizzle(d1)
    .select()
    .from(erasures)
    .where(and(eq(erasures.org, org), inArray(erasures.sessionId, [call.session_id, WHOLE_ORGANIZATION])));
  return found.some((erasure) => isErasedBy(erasure, call));
}

/** SQL: that a row may be stored. All are expressions. */
export const isNotErased = ({ org, session, createdAt }: Record<"org" | "session" | "createdAt", string>): string =>
  `NOT EXISTS (SELECT 1 FROM erasures
    WHERE erasures.org = ${org} AND erasures.session_id IN (${session}, '${WHOLE_ORGANIZATION}')
      AND (erasures.session_id <> '${WHOLE_ORGANIZATION}' OR erasures.requested_at > ${createdAt}))`;

/** The oldest that is not done. `without`: their ids. */
export async function findRequested(d1: D1Database, without: readonly string[]): Promise<Erasure | undefined> {
  const isRequested = and(sql`state = 'requested'`, notInArray(erasures.id, [...without]));
  return (await drizzle(d1).select().from(erasures).where(isRequested).orderBy(asc(erasures.requestedAt)).limit(1))[0];
}

/** Those of an organisation that are not done: what they reach is not read. For a transaction. */
export const selectRequested = (d1: D1Database, org: string): D1PreparedStatement =>
  d1
    .prepare(
      `SELECT session_id AS sessionId, requested_at AS requestedAt FROM erasures WHERE org = ?1 AND state = 'requested'`,
    )
    .bind(org);

/** Notes how far an erasure has come. `calls`, `files`: so many more were removed, or written anew. */
export const noteErasure = async (
  d1: D1Database,
  erasure: Erasure,
  { calls = 0, files = 0, ...changes }: Partial<Pick<Erasure, "checked" | "state" | "doneAt" | "calls" | "files">>,
): Promise<unknown> =>
  await drizzle(d1)
    .update(erasures)
    .set({ ...changes, calls: sql`${erasures.calls} + ${calls}`, files: sql`${erasures.files} + ${files}` })
    .where(isIt(erasure));
