import type { AuditEvent } from "./audit.ts";
import type { Sql } from "./sql.ts";
import { newId } from "../wire/id.ts";

/** Changes on their way to where they can be listed. Written together with the change itself, so that none is lost. */
export const AUDIT_SCHEMA = "CREATE TABLE changes (id TEXT PRIMARY KEY, change TEXT NOT NULL);";

export function enqueueAudit(sql: Sql, change: Omit<AuditEvent, "id">): void {
  const id = newId("evt", change.at);
  sql("INSERT INTO changes (id, change) VALUES (?, ?)", id, JSON.stringify({ id, ...change } satisfies AuditEvent));
}

/** The oldest that are not there yet. */
export const pendingAuditEvents = (sql: Sql): AuditEvent[] =>
  sql<{ change: string }>("SELECT change FROM changes ORDER BY rowid LIMIT 20").map(
    ({ change }) => JSON.parse(change) as AuditEvent,
  );

export function deleteAuditEvents(sql: Sql, changes: readonly AuditEvent[]): void {
  for (const { id } of changes) sql("DELETE FROM changes WHERE id = ?", id);
}
