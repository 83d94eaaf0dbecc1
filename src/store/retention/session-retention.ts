import { and, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { sessionRetention } from "../schema.ts";

/** The rules of an organisation for one session. */
export type SessionRetention = typeof sessionRetention.$inferSelect;

const isIt = (org: string, sessionId: string) =>
  and(eq(sessionRetention.org, org), eq(sessionRetention.sessionId, sessionId));

export async function findSessionRetention(
  d1: D1Database,
  org: string,
  sessionId: string,
): Promise<SessionRetention | undefined> {
  return (await drizzle(d1).select().from(sessionRetention).where(isIt(org, sessionId)))[0];
}

export const listSessionRetention = async (d1: D1Database, org: string): Promise<SessionRetention[]> =>
  await drizzle(d1).select().from(sessionRetention).where(eq(sessionRetention.org, org));

/** Replaces the rules of a session; removes those that are as the organisation has them. */
export async function putSessionRetention(d1: D1Database, row: SessionRetention): Promise<void> {
  const db = drizzle(d1);
  if (!row.legalHold && row.retentionDays === null) {
    await db.delete(sessionRetention).where(isIt(row.org, row.sessionId));
    return;
  }
  const { org: _, sessionId: __, ...changes } = row;
  const target = [sessionRetention.org, sessionRetention.sessionId];
  await db.insert(sessionRetention).values(row).onConflictDoUpdate({ target, set: changes });
}
