import { and, asc, eq, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { erasures } from "./schema.ts";

/** A session whose data are to be erased, and how far that has come. */
export type Erasure = typeof erasures.$inferSelect;

const isIt = ({ org, sessionId }: Pick<Erasure, "org" | "sessionId">) =>
  and(eq(erasures.org, org), eq(erasures.sessionId, sessionId));

/** Requests an erasure: from now on nothing of the session is read or stored. One that was requested before is returned. */
export async function requestErasure(
  d1: D1Database,
  request: Pick<Erasure, "org" | "sessionId" | "id" | "requestedBy" | "requestedAt">,
): Promise<Erasure> {
  const db = drizzle(d1);
  await db
    .insert(erasures)
    .values({ ...request, state: "requested" })
    .onConflictDoNothing();
  return (await db.select().from(erasures).where(isIt(request)))[0]!;
}

export async function findErasure(d1: D1Database, org: string, id: string): Promise<Erasure | undefined> {
  const isOne = and(eq(erasures.org, org), eq(erasures.id, id));
  return (await drizzle(d1).select().from(erasures).where(isOne))[0];
}

export async function isErased(d1: D1Database, org: string, sessionId: string): Promise<boolean> {
  return (await drizzle(d1).select().from(erasures).where(isIt({ org, sessionId }))).length > 0;
}

/** The oldest that is not done. */
export async function findRequested(d1: D1Database): Promise<Erasure | undefined> {
  const isRequested = sql`state = 'requested'`;
  return (await drizzle(d1).select().from(erasures).where(isRequested).orderBy(asc(erasures.requestedAt)).limit(1))[0];
}

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
