import type { Kept } from "../store/records.ts";
import { forgetSent, isEmpty, KEEP_SENT, markSent, pendingRecords } from "./outbox.ts";
import type { Sql } from "../store/sql.ts";

/** All that is needed of a queue. */
export type RecordQueue = {
  send: (record: Kept) => Promise<unknown>;
  sendBatch: (messages: Iterable<{ body: Kept }>) => Promise<unknown>;
};

/** Half of the 256 KB that a batch may have: characters are not bytes. */
const MAX_BATCH = 128_000;

/**
 * Everything in the outbox to the queue, at least once: a record leaves the outbox only some time after the queue has
 * taken it. Resolves to when somebody has to come again, in Unix milliseconds; undefined when nothing is left. Throws
 * what the queue throws, and has lost nothing then.
 */
export async function deliver(sql: Sql, queue: RecordQueue, now: number): Promise<number | undefined> {
  for (let pending = pendingRecords(sql); pending.length > 0; pending = pendingRecords(sql)) {
    await send(
      queue,
      pending.map(({ record }) => record),
    );
    markSent(sql, pending, now);
  }
  forgetSent(sql, now);
  return isEmpty(sql) ? undefined : now + KEEP_SENT;
}

/** Records that are too much for one batch go one by one. */
async function send(queue: RecordQueue, records: readonly Kept[]): Promise<void> {
  const isOne = records.length === 1;
  const isLarge = JSON.stringify(records).length > MAX_BATCH;
  if (isOne || !isLarge) await queue.sendBatch(records.map((body) => ({ body })));
  else for (const record of records) await queue.send(record);
}
