import { joinItems } from "../wire/json.ts";
import type { StoredRecord } from "./records.ts";
import type { Sql } from "./sql.ts";

/** For a schema. Numbers only increase within an outbox: rows are deleted from the lowest, or all at once. */
export const OUTBOX_SCHEMA = "CREATE TABLE outbox (number INTEGER PRIMARY KEY, payload TEXT NOT NULL)";

/** Records that are not delivered yet. `payload`: JSON texts with commas between them. */
export type OutboxRow = { number: number; payload: string };

/** Appends records as one row; none, if there are none. */
export function enqueue(sql: Sql, ...records: readonly StoredRecord[]): void {
  if (records.length > 0) enqueueText(sql, joinItems(records));
}

/** Appends records that are JSON texts already, with commas between them. */
export const enqueueText = (sql: Sql, payload: string): void =>
  void sql("INSERT INTO outbox (payload) VALUES (?)", payload);

/** The rows after this number, in order. */
export const rowsAfter = (sql: Sql, number: number): OutboxRow[] =>
  sql("SELECT number, payload FROM outbox WHERE number > ? ORDER BY number", number);

/** Deletes all rows up to and including this number. */
export const deleteThrough = (sql: Sql, number: number): unknown => sql("DELETE FROM outbox WHERE number <= ?", number);
