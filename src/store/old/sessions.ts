import { and, desc, eq, notExists, type SQL } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { sessionRecords } from "../schema.ts";
import { oldSessions } from "./schema.ts";
import { orNone } from "./tables.ts";

/** Tables with a session in each row. */
export type SessionTable = typeof sessionRecords | typeof oldSessions;

/** Sessions in the table of earlier versions, newest first, that the new one does not have. `conditionOf`: on a table. */
export function listOldSessions(
  d1: D1Database,
  conditionOf: (table: SessionTable) => SQL | undefined,
  limit: number,
): Promise<(typeof sessionRecords.$inferSelect)[]> {
  const db = drizzle(d1);
  const { org, id, createdAt } = oldSessions;
  const moved = db
    .select()
    .from(sessionRecords)
    .where(and(eq(sessionRecords.org, org), eq(sessionRecords.id, id)));
  return orNone(() =>
    db
      .select()
      .from(oldSessions)
      .where(and(conditionOf(oldSessions), notExists(moved)))
      .orderBy(desc(createdAt), desc(id))
      .limit(limit),
  );
}
