import type { Sql } from "../store/sql.ts";
import { newId } from "../wire/id.ts";
import type { JsonObject } from "../wire/json.ts";

/** A change of a session that no call made; shown in its timeline and its lineage. `createdAt`: Unix milliseconds. */
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
    | "agent_started"
    | "item_deleted";
  data: JsonObject;
  createdAt: number;
};

type Row = { id: string; type: SessionEvent["type"]; data: string; created_at: number };

/** Appends an event. Runs in the transaction of the change that it describes. */
export function recordEvent(sql: Sql, now: number, type: SessionEvent["type"], data: JsonObject = {}): void {
  sql(
    "INSERT INTO changes (id, type, data, created_at) VALUES (?, ?, ?, ?)",
    newId("chg", now),
    type,
    JSON.stringify(data),
    now,
  );
}

/** Oldest first: ids sort by time. */
export const listEvents = (sql: Sql): SessionEvent[] =>
  sql<Row>("SELECT * FROM changes ORDER BY id").map(({ id, type, data, created_at: createdAt }) => ({
    id,
    type,
    data: JSON.parse(data) as JsonObject,
    createdAt,
  }));
