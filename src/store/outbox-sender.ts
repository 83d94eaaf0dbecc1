import { type Batcher, type BatchFlusher, chunkBySize, tryInHalves } from "../wire/batcher.ts";
import type { Alarm } from "./alarm.ts";
import { deleteThrough, type OutboxRow, rowsAfter } from "./outbox.ts";
import type { Sql } from "./sql.ts";

/**
 * Longest list of records that is delivered at once, in UTF-16 code units. One takes at most three bytes, so it stays
 * below the limit of a queue's message, 128 KB. D1 is busy for about 5 ms with it.
 */
const MAX_LIST_LENGTH = 40_000;
/**
 * How long a row stays in the outbox after its delivery. If the runtime crashes within that time, the row is delivered
 * again, since the local runtime has its queues in memory; applying records is idempotent. Milliseconds.
 */
const DELIVERED_RETENTION_MS = 2_500;
/** Time until the alarm that delivers rows again or deletes delivered ones. Milliseconds. */
const CHECK_MS = 5_000;
/** The longest such time, for rows that have failed often. Milliseconds. */
const MAX_CHECK_MS = 60 * 60_000;
/** Rows that may fail by themselves in one check: more of them mean that nothing can be delivered. */
const MAX_FAILURES = 8;

/** `deliveredAt`: in Unix milliseconds; absent: not yet. `failures`: how often delivering the row by itself has failed. */
export type PendingRow = OutboxRow & { deliveredAt?: number; failures?: number };

/**
 * How records leave outboxes. `deliver` gets them as the text of a JSON list; it resolves when they are applied or safely
 * on their way. `gatherMs`: how long the first of them waits for others, in milliseconds.
 */
export type RecordDelivery = { readonly gatherMs: number; deliver: (list: string) => Promise<unknown> };

/** `batcher` is shared by all Durable Objects of the isolate. */
type SenderServices = Pick<BatchFlusher<PendingRow>, "waitUntil" | "now"> & {
  sql: Sql;
  delivery: RecordDelivery;
  batcher: Batcher<PendingRow>;
  alarm: Alarm;
};

/**
 * Delivers outbox rows, at least once. Which rows are delivered is tracked in memory only, so a restart delivers them
 * again: applying them must be idempotent.
 */
export class OutboxSender {
  readonly #services: SenderServices;
  /** The rows of the outbox that were read so far, in order. */
  readonly #rows: PendingRow[] = [];
  /** When the next check is due, however often the alarm goes off before that. Undefined: at once. Unix milliseconds. */
  #dueAt: number | undefined;

  constructor(services: SenderServices) {
    this.#services = services;
  }

  /** To be called when a row is written: it is then delivered by the alarm even if `send` is never called. */
  scheduleCheck(): void {
    this.#checkWithin(CHECK_MS);
  }

  #checkWithin(ms: number): void {
    this.#dueAt = Math.min(this.#dueAt ?? Infinity, this.#services.now() + ms);
    this.#services.alarm.scheduleWithin(ms);
  }

  /** Hands new rows to the batcher, which delivers them together with those of other objects. `settle` checks the result. */
  send(): void {
    const { batcher, delivery, waitUntil, now } = this.#services;
    this.scheduleCheck();
    const flush = (rows: PendingRow[]): Promise<void> => deliverRows(rows, delivery, now);
    batcher.put(this.#collect(), { flush, waitMs: delivery.gatherMs, waitUntil, now });
  }

  /**
   * To be called by the alarm. Delivers rows that are not delivered, and deletes those that were some time ago, if a check is
   * due. Resolves to whether rows may be left; the alarm is set again then.
   */
  async settle(): Promise<boolean> {
    const { sql, now, alarm } = this.#services;
    if (this.#dueAt !== undefined && this.#dueAt > now()) {
      alarm.scheduleWithin(this.#dueAt - now());
      return true;
    }
    this.#dueAt = undefined;
    this.#collect();
    const undelivered = this.#rows.filter(({ deliveredAt }) => deliveredAt === undefined);
    const isRecent = ({ deliveredAt = Infinity }: PendingRow): boolean => deliveredAt > now() - DELIVERED_RETENTION_MS;
    const firstRecent = this.#rows.findIndex(isRecent);
    const last = this.#rows.splice(0, firstRecent < 0 ? Infinity : firstRecent).at(-1);
    if (last !== undefined) deleteThrough(sql, last.number);
    await this.#retry(undelivered);
    if (this.#rows.length === 0) return false;
    const failures = Math.min(...this.#rows.filter(isRecent).map((row) => row.failures ?? 0));
    this.#checkWithin(Math.min(CHECK_MS * 2 ** failures, MAX_CHECK_MS));
    return true;
  }

  /** Reads the rows that were written since the last call. */
  #collect(): PendingRow[] {
    const fresh: PendingRow[] = rowsAfter(this.#services.sql, this.#rows.at(-1)?.number ?? 0);
    this.#rows.push(...fresh);
    return fresh;
  }

  /**
   * Delivers rows that may have failed before: a list that fails is tried in halves, so that a bad record delays no other,
   * and rows that failed by themselves come last. Never rejects: the platform gives up an alarm whose handler has thrown
   * six times.
   */
  async #retry(rows: readonly PendingRow[]): Promise<void> {
    let failures = 0;
    const deliver = async (list: readonly PendingRow[]): Promise<void> => {
      try {
        await deliverList(list, this.#services.delivery, this.#services.now);
      } catch (cause) {
        if (list.length === 1) {
          list[0]!.failures = (list[0]!.failures ?? 0) + 1;
          console.error("a record could not be delivered", cause);
          failures++;
        }
        throw cause;
      }
    };
    const ordered = rows.toSorted((a, b) => (a.failures ?? 0) - (b.failures ?? 0));
    for (const list of toLists(ordered)) {
      if (failures >= MAX_FAILURES) return;
      await tryInHalves(list, deliver, () => failures < MAX_FAILURES);
    }
  }
}

/** Delivers the rows in as few lists as possible. Rejects if one fails; the rows after it wait for their objects' alarms. */
export async function deliverRows(
  rows: readonly PendingRow[],
  delivery: RecordDelivery,
  now: () => number,
): Promise<void> {
  for (const list of toLists(rows)) await deliverList(list, delivery, now);
}

async function deliverList(rows: readonly PendingRow[], delivery: RecordDelivery, now: () => number): Promise<void> {
  await delivery.deliver(`[${rows.map(({ payload }) => payload).join(",")}]`);
  for (const row of rows) row.deliveredAt = now();
}

const toLists = (rows: readonly PendingRow[]): PendingRow[][] =>
  chunkBySize(rows, ({ payload }) => payload.length + 1, MAX_LIST_LENGTH);
