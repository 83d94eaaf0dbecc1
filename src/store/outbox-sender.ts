import { type BatchFlusher, type Batcher, chunkBySize } from "../wire/batcher.ts";
import type { Sql } from "./sql.ts";
import type { Alarm } from "./alarm.ts";
import { deleteThrough, type OutboxRow, rowsAfter } from "./outbox.ts";

/** All that is needed of a queue: it takes messages of 128 KB at most. */
export type RecordQueue = { send: (message: string, how: { contentType: "text" }) => Promise<unknown> };

/** The most that goes as one message, in UTF-16 code units: none has more than three bytes. */
const MESSAGE = 40_000;
/**
 * How long a record that the queue has taken is kept all the same. Should the runtime die meanwhile, the object that
 * comes after sends it again (the local runtime keeps its queues in memory). The consumer applies it once. Milliseconds.
 */
const KEEP_SENT = 2_500;
/** When somebody looks whether it has arrived. Milliseconds. */
const SETTLED = 5_000;

/** `takenAt`: when the queue took it, in Unix milliseconds. */
export type PendingRow = OutboxRow & { takenAt?: number };

/** `bag`: of all the objects that live in this isolate. */
type SenderServices = Pick<BatchFlusher<PendingRow>, "waitUntil" | "now"> & {
  sql: Sql;
  queue: RecordQueue;
  bag: Batcher<PendingRow>;
  alarm: Alarm;
};

/** Brings an outbox to the queue. What is on its way is known in memory alone: what nobody remembers is sent again. */
export class OutboxSender {
  readonly #services: SenderServices;
  /** All that is in the outbox and was looked at, in its order. */
  readonly #letters: PendingRow[] = [];

  constructor(way: SenderServices) {
    this.#services = way;
  }

  /** To be called with what is written into the outbox, so that it is sent even if nothing else happens any more. */
  watch(): void {
    this.#services.alarm.within(SETTLED);
  }

  /** What is new, with what the isolate's other objects send. That it has arrived is for `settle` to see. */
  send(): void {
    const { bag, waitUntil, now } = this.#services;
    this.watch();
    bag.put(this.#collect(), { flush: (rows) => this.#give(rows), waitUntil, now });
  }

  /**
   * To be called with the alarm. Sends what the queue has not taken, and forgets what it has had for a while. Resolves
   * to whether anything is left; the alarm is set for it then.
   */
  async settle(): Promise<boolean> {
    const { sql, now } = this.#services;
    this.#collect();
    const late = this.#letters.filter(({ takenAt }) => takenAt === undefined);
    const kept = this.#letters.findIndex(({ takenAt = Infinity }) => takenAt > now() - KEEP_SENT);
    const last = this.#letters.splice(0, kept < 0 ? Infinity : kept).at(-1);
    if (last !== undefined) deleteThrough(sql, last.number);
    const isLeft = this.#letters.length > 0;
    if (isLeft) this.watch();
    // An alarm that throws is given up by the platform after six times; this one is set anew.
    await this.#give(late).catch((cause: unknown) => console.error("records wait for the queue", cause));
    return isLeft;
  }

  #collect(): PendingRow[] {
    const fresh: PendingRow[] = rowsAfter(this.#services.sql, this.#letters.at(-1)?.number ?? 0);
    this.#letters.push(...fresh);
    return fresh;
  }

  /** In as few messages as they fit into, each a JSON list of records. */
  async #give(rows: readonly PendingRow[]): Promise<void> {
    const { queue, now } = this.#services;
    for (const message of chunkBySize(rows, ({ payload }) => payload.length + 1, MESSAGE)) {
      await queue.send(`[${message.map(({ payload }) => payload).join(",")}]`, { contentType: "text" });
      for (const row of message) row.takenAt = now();
    }
  }
}
