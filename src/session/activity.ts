import { newId } from "../wire/id.ts";
import type { JsonObject } from "../wire/json.ts";
import type { Sql } from "../store/sql.ts";

/** What happened to a session beside its calls: for its timeline and its lineage. */
export type SessionEvent = {
  id: string;
  type:
    | "updated"
    | "instructions_set"
    | "phase_set"
    | "paused"
    | "resumed"
    | "compacted"
    | "branched"
    | "snapshot"
    | "items_added"
    | "item_deleted";
  data: JsonObject;
  createdAt: number;
};

type Row = { id: string; type: SessionEvent["type"]; data: string; created_at: number };

export function recordEvent(sql: Sql, now: number, type: SessionEvent["type"], data: JsonObject = {}): void {
  sql(
    "INSERT INTO changes (id, type, data, created_at) VALUES (?, ?, ?, ?)",
    newId("chg", now),
    type,
    JSON.stringify(data),
    now,
  );
}

/** In the order in which they happened. */
export const listEvents = (sql: Sql): SessionEvent[] =>
  sql<Row>("SELECT * FROM changes ORDER BY id").map(({ id, type, data, created_at: createdAt }) => ({
    id,
    type,
    data: JSON.parse(data) as JsonObject,
    createdAt,
  }));
