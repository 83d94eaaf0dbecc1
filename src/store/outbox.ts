import type { StoredRecord } from "./records.ts";
import type { Sql } from "./sql.ts";
import { joinItems } from "../wire/json.ts";

/** For a schema. Numbers go up, also over a gap: only the lowest are ever taken away, or all. */
export const OUTBOX_SCHEMA = "CREATE TABLE outbox (number INTEGER PRIMARY KEY, payload TEXT NOT NULL)";

/** Records on their way: JSON texts with commas between them. */
export type OutboxRow = { number: number; payload: string };

/** Puts records on their way, together and behind those that are. */
export const enqueue = (sql: Sql, ...records: readonly [StoredRecord, ...StoredRecord[]]): void =>
  enqueueText(sql, joinItems(records));

/** The same of records that are texts already. */
export const enqueueText = (sql: Sql, payload: string): void =>
  void sql("INSERT INTO outbox (payload) VALUES (?)", payload);

/** Those that were posted behind this one, in their order. */
export const rowsAfter = (sql: Sql, number: number): OutboxRow[] =>
  sql("SELECT number, payload FROM outbox WHERE number > ? ORDER BY number", number);

/** Takes away what has arrived: all up to and with this one. */
export const deleteThrough = (sql: Sql, number: number): unknown => sql("DELETE FROM outbox WHERE number <= ?", number);
