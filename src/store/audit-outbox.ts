import type { Change } from "./audit.ts";
import type { Sql } from "./sql.ts";
import { newId } from "../wire/id.ts";

/** Changes on their way to where they can be listed. Written together with the change itself, so that none is lost. */
export const OUTBOX_STEP = "CREATE TABLE changes (id TEXT PRIMARY KEY, change TEXT NOT NULL);";

export function note(sql: Sql, change: Omit<Change, "id">): void {
  const id = newId("evt", change.at);
  sql("INSERT INTO changes (id, change) VALUES (?, ?)", id, JSON.stringify({ id, ...change } satisfies Change));
}

/** The oldest that are not there yet. */
export const pendingChanges = (sql: Sql): Change[] =>
  sql<{ change: string }>("SELECT change FROM changes ORDER BY rowid LIMIT 20").map(
    ({ change }) => JSON.parse(change) as Change,
  );

export function forgetChanges(sql: Sql, changes: readonly Change[]): void {
  for (const { id } of changes) sql("DELETE FROM changes WHERE id = ?", id);
}
