import type { CallRecord } from "../store/records.ts";
import type { Sql } from "./sql.ts";

/** A queue takes at most 100 messages and 256 KB at once; a record has a few hundred bytes. */
const BATCH = 100;
/**
 * How long a record that the queue has taken is kept all the same. Should the runtime die meanwhile, the object that
 * comes after sends it again (the local runtime keeps its queues in memory). The consumer applies it once. Milliseconds.
 */
export const KEEP_SENT = 5_000;

/** The oldest records that the queue does not have. */
export const pendingRecords = (sql: Sql): CallRecord[] =>
  sql<{ payload: string }>("SELECT payload FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT ?", BATCH).map(
    ({ payload }) => JSON.parse(payload) as CallRecord,
  );

/** To be called when the queue has them, and not before: it may get a record twice, never not at all. */
export function markSent(sql: Sql, records: readonly CallRecord[], now: number): void {
  for (const { id } of records) sql("UPDATE outbox SET sent_at = ? WHERE id = ?", now, id);
}

export const forgetSent = (sql: Sql, now: number): unknown =>
  sql("DELETE FROM outbox WHERE sent_at <= ?", now - KEEP_SENT);

/** For an object that has just been made. */
export const resend = (sql: Sql): unknown => sql("UPDATE outbox SET sent_at = NULL WHERE sent_at IS NOT NULL");

export const isEmpty = (sql: Sql): boolean => sql("SELECT 1 FROM outbox LIMIT 1").length === 0;
