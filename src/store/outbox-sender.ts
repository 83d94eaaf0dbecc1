import { type BatchFlusher, type Batcher, chunkBySize } from "../wire/batcher.ts";
import type { Sql } from "./sql.ts";
import type { Alarm } from "./alarm.ts";
import { deleteThrough, type OutboxRow, rowsAfter } from "./outbox.ts";

/** All that is needed of a queue: it takes messages of 128 KB at most. */
export type RecordQueue = { send: (message: string, how: { contentType: "text" }) => Promise<unknown> };

/** The most that goes as one message, in UTF-16 code units: none has more than three bytes. */
const MAX_MESSAGE_LENGTH = 40_000;
/**
 * How long a record that the queue has taken is kept all the same. Should the runtime die meanwhile, the object that
 * comes after sends it again (the local runtime keeps its queues in memory). The consumer applies it once. Milliseconds.
 */
const SENT_RETENTION_MS = 2_500;
/** When somebody looks whether it has arrived. Milliseconds. */
const CHECK_MS = 5_000;

/** `takenAt`: when the queue took it, in Unix milliseconds. */
export type PendingRow = OutboxRow & { takenAt?: number };

/** `bag`: of all the objects that live in this isolate. */
type SenderServices = Pick<BatchFlusher<PendingRow>, "waitUntil" | "now"> & {
  sql: Sql;
  queue: RecordQueue;
  batcher: Batcher<PendingRow>;
  alarm: Alarm;
};

/** Brings an outbox to the queue. What is on its way is known in memory alone: what nobody remembers is sent again. */
export class OutboxSender {
  readonly #services: SenderServices;
  /** All that is in the outbox and was looked at, in its order. */
  readonly #rows: PendingRow[] = [];

  constructor(way: SenderServices) {
    this.#services = way;
  }

  /** To be called with what is written into the outbox, so that it is sent even if nothing else happens any more. */
  scheduleCheck(): void {
    this.#services.alarm.scheduleWithin(CHECK_MS);
  }

  /** What is new, with what the isolate's other objects send. That it has arrived is for `settle` to see. */
  send(): void {
    const { batcher: bag, waitUntil, now } = this.#services;
    this.scheduleCheck();
    bag.put(this.#collect(), { flush: (rows) => this.#sendRows(rows), waitUntil, now });
  }

  /**
   * To be called with the alarm. Sends what the queue has not taken, and forgets what it has had for a while. Resolves
   * to whether anything is left; the alarm is set for it then.
   */
  async settle(): Promise<boolean> {
    const { sql, now } = this.#services;
    this.#collect();
    const late = this.#rows.filter(({ takenAt }) => takenAt === undefined);
    const kept = this.#rows.findIndex(({ takenAt = Infinity }) => takenAt > now() - SENT_RETENTION_MS);
    const last = this.#rows.splice(0, kept < 0 ? Infinity : kept).at(-1);
    if (last !== undefined) deleteThrough(sql, last.number);
    const isLeft = this.#rows.length > 0;
    if (isLeft) this.scheduleCheck();
    // An alarm that throws is given up by the platform after six times; this one is set anew.
    await this.#sendRows(late).catch((cause: unknown) => console.error("records wait for the queue", cause));
    return isLeft;
  }

  #collect(): PendingRow[] {
    const fresh: PendingRow[] = rowsAfter(this.#services.sql, this.#rows.at(-1)?.number ?? 0);
    this.#rows.push(...fresh);
    return fresh;
  }

  /** In as few messages as they fit into, each a JSON list of records. */
  async #sendRows(rows: readonly PendingRow[]): Promise<void> {
    const { queue, now } = this.#services;
    for (const message of chunkBySize(rows, ({ payload }) => payload.length + 1, MAX_MESSAGE_LENGTH)) {
      await queue.send(`[${message.map(({ payload }) => payload).join(",")}]`, { contentType: "text" });
      for (const row of message) row.takenAt = now();
    }
  }
}
