import { type Batcher, type BatchFlusher, chunkBySize } from "../wire/batcher.ts";
import type { Alarm } from "./alarm.ts";
import { deleteThrough, type OutboxRow, rowsAfter } from "./outbox.ts";
import type { Sql } from "./sql.ts";

/** The part of a Cloudflare queue that is used. A message is limited to 128 KB. */
type RecordQueue = { send: (message: string, how: { contentType: "text" }) => Promise<unknown> };

/** Longest message, in UTF-16 code units. One takes at most three bytes, so this stays below the limit of 128 KB. */
const MAX_MESSAGE_LENGTH = 40_000;
/**
 * How long a row stays in the outbox after the queue has accepted it. If the runtime crashes within that time, the row is
 * sent again, since the local runtime has its queues in memory; the consumer is idempotent. Milliseconds.
 */
const SENT_RETENTION_MS = 2_500;
/** Time until the alarm that sends rows again or deletes sent ones. Milliseconds. */
const CHECK_MS = 5_000;

/** `takenAt`: when the queue accepted the row, in Unix milliseconds; absent: not yet. */
export type PendingRow = OutboxRow & { takenAt?: number };

/** `batcher` is shared by all Durable Objects of the isolate. */
type SenderServices = Pick<BatchFlusher<PendingRow>, "waitUntil" | "now"> & {
  sql: Sql;
  queue: RecordQueue;
  batcher: Batcher<PendingRow>;
  alarm: Alarm;
};

/**
 * Sends outbox rows to the queue, at least once. Which rows the queue has accepted is tracked in memory only, so a restart
 * sends them again: consumers must be idempotent.
 */
export class OutboxSender {
  readonly #services: SenderServices;
  /** The rows of the outbox that were read so far, in order. */
  readonly #rows: PendingRow[] = [];

  constructor(services: SenderServices) {
    this.#services = services;
  }

  /** To be called when a row is written: it is then sent by the alarm even if `send` is never called. */
  scheduleCheck(): void {
    this.#services.alarm.scheduleWithin(CHECK_MS);
  }

  /** Hands new rows to the batcher, which sends them together with those of other objects. `settle` checks the result. */
  send(): void {
    const { batcher, waitUntil, now } = this.#services;
    this.scheduleCheck();
    batcher.put(this.#collect(), { flush: (rows) => this.#sendRows(rows), waitUntil, now });
  }

  /**
   * To be called by the alarm. Sends rows that the queue has not accepted, and deletes those it accepted some time ago.
   * Resolves to whether rows are left; the alarm is set again then.
   */
  async settle(): Promise<boolean> {
    const { sql, now } = this.#services;
    this.#collect();
    const unsent = this.#rows.filter(({ takenAt }) => takenAt === undefined);
    const firstRecent = this.#rows.findIndex(({ takenAt = Infinity }) => takenAt > now() - SENT_RETENTION_MS);
    const last = this.#rows.splice(0, firstRecent < 0 ? Infinity : firstRecent).at(-1);
    if (last !== undefined) deleteThrough(sql, last.number);
    const hasRows = this.#rows.length > 0;
    if (hasRows) this.scheduleCheck();
    // The platform stops retrying an alarm handler after it has thrown six times, so the error is caught; the alarm is set again.
    await this.#sendRows(unsent).catch((cause: unknown) => console.error("sending records to the queue failed", cause));
    return hasRows;
  }

  /** Reads the rows that were written since the last call. */
  #collect(): PendingRow[] {
    const fresh: PendingRow[] = rowsAfter(this.#services.sql, this.#rows.at(-1)?.number ?? 0);
    this.#rows.push(...fresh);
    return fresh;
  }

  /** Sends the rows in as few messages as possible, each a JSON array of records. Rejects if the queue refuses one. */
  async #sendRows(rows: readonly PendingRow[]): Promise<void> {
    const { queue, now } = this.#services;
    for (const message of chunkBySize(rows, ({ payload }) => payload.length + 1, MAX_MESSAGE_LENGTH)) {
      await queue.send(`[${message.map(({ payload }) => payload).join(",")}]`, { contentType: "text" });
      for (const row of message) row.takenAt = now();
    }
  }
}
