import type { Kept } from "../store/records.ts";
import type { Sql } from "../store/sql.ts";

/** A queue takes at most 100 messages and 256 KB at once; a record has a few hundred bytes. */
const BATCH = 100;
/**
 * How long a record that the queue has taken is kept all the same. Should the runtime die meanwhile, the object that
 * comes after sends it again (the local runtime keeps its queues in memory). The consumer applies it once. Milliseconds.
 */
export const KEEP_SENT = 5_000;

/** `payload`: the row's own text, by which a newer record under the same id is told from the one that was sent. */
export type Pending = { id: string; payload: string; record: Kept };

/** Puts a record on its way, instead of an older one of the same thing. */
export function post(sql: Sql, record: Kept): void {
  sql("INSERT OR REPLACE INTO outbox (id, payload) VALUES (?, ?)", record.id, JSON.stringify(record));
}

/** The oldest records that the queue does not have. */
export const pendingRecords = (sql: Sql): Pending[] =>
  sql<{ id: string; payload: string }>(
    "SELECT id, payload FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT ?",
    BATCH,
  ).map(({ id, payload }) => ({ id, payload, record: JSON.parse(payload) as Kept }));

/** To be called when the queue has them, and not before: it may get a record twice, never not at all. */
export function markSent(sql: Sql, sent: readonly Pending[], now: number): void {
  for (const { id, payload } of sent)
    sql("UPDATE outbox SET sent_at = ? WHERE id = ? AND payload = ?", now, id, payload);
}

export const forgetSent = (sql: Sql, now: number): unknown =>
  sql("DELETE FROM outbox WHERE sent_at <= ?", now - KEEP_SENT);

/** For an object that has just been made. */
export const resend = (sql: Sql): unknown => sql("UPDATE outbox SET sent_at = NULL WHERE sent_at IS NOT NULL");

export const isEmpty = (sql: Sql): boolean => sql("SELECT 1 FROM outbox LIMIT 1").length === 0;
