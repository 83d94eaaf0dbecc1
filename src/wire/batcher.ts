import { sleep } from "./time.ts";

/** Shortest time between two flushes. Items that arrive in between wait and go together. Milliseconds. */
const INTERVAL_MS = 25;
/** The request that scheduled a flush may be cancelled before it runs. After this time the next item schedules another. Milliseconds. */
const STALLED_MS = 1_000;

/** How one request sends a batch. `waitUntil` keeps that request's invocation alive for it; `flush` may reject. */
export type BatchFlusher<T> = {
  flush: (items: T[]) => Promise<void>;
  waitUntil: (work: Promise<unknown>) => void;
  now: () => number;
};

/**
 * Batches items of concurrent requests to one destination. The first item after an idle interval is flushed at once;
 * later ones wait until the interval has passed and go together. The flush runs in one request's `waitUntil`: if that
 * request is cancelled or `flush` rejects, the batch is lost, so items must be recoverable elsewhere.
 */
export class Batcher<T> {
  #items: T[] = [];
  /** When the scheduled flush runs, and when the last one ran. Unix milliseconds. */
  #dueAt: number | undefined;
  #flushedAt = 0;

  /** Adds items, and schedules a flush with these functions unless one is scheduled already. */
  put(items: readonly T[], { flush, waitUntil, now }: BatchFlusher<T>): void {
    this.#items.push(...items);
    const isScheduled = this.#dueAt !== undefined && now() < this.#dueAt + STALLED_MS;
    if (this.#items.length === 0 || isScheduled) return;
    const wait = Math.max(0, this.#flushedAt + INTERVAL_MS - now());
    this.#dueAt = now() + wait;
    const flushLater = async (): Promise<void> => {
      if (wait > 0) await sleep(wait);
      this.#dueAt = undefined;
      this.#flushedAt = now();
      await flush(this.#items.splice(0));
    };
    waitUntil(flushLater().catch((cause: unknown) => console.error("batch flush failed", cause)));
  }
}

/**
 * Splits a list into runs of neighbours whose sizes add up to at most `maxSize`. An item that is larger by itself gets a
 * chunk of its own.
 */
export function chunkBySize<T>(items: readonly T[], sizeOf: (item: T) => number, maxSize: number): T[][] {
  const chunks: T[][] = [];
  let size = Infinity;
  for (const item of items) {
    size += sizeOf(item);
    if (size > maxSize) {
      chunks.push([]);
      size = sizeOf(item);
    }
    chunks.at(-1)!.push(item);
  }
  return chunks;
}
