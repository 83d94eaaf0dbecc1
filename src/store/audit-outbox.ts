import { newId } from "../wire/id.ts";
import type { AuditEvent } from "./audit.ts";
import type { Sql } from "./sql.ts";

/**
 * Audit events of a Durable Object that are not written to D1 yet. An event is stored in the same transaction as the change
 * it describes, so none is lost. For a schema.
 */
export const AUDIT_SCHEMA = "CREATE TABLE changes (id TEXT PRIMARY KEY, change TEXT NOT NULL);";

/** Stores an event. Its id is made from its time. */
export function enqueueAudit(sql: Sql, change: Omit<AuditEvent, "id">): void {
  const id = newId("evt", change.at);
  sql("INSERT INTO changes (id, change) VALUES (?, ?)", id, JSON.stringify({ id, ...change } satisfies AuditEvent));
}

/** The oldest events that are not written to D1 yet, at most 20. */
export const pendingAuditEvents = (sql: Sql): AuditEvent[] =>
  sql<{ change: string }>("SELECT change FROM changes ORDER BY rowid LIMIT 20").map(
    ({ change }) => JSON.parse(change) as AuditEvent,
  );

/** Removes events once they are written to D1. */
export function deleteAuditEvents(sql: Sql, events: readonly AuditEvent[]): void {
  for (const { id } of events) sql("DELETE FROM changes WHERE id = ?", id);
}
