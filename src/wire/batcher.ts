import { sleep } from "./time.ts";

/** The request that scheduled a flush may be cancelled before it runs. After this time the next item schedules another. Milliseconds. */
const STALLED_MS = 1_000;

/**
 * How one request sends a batch. `waitMs`: how long the batch's first item waits for others. `waitUntil` keeps that
 * request's invocation alive for it; `flush` may reject.
 */
export type BatchFlusher<T> = {
  flush: (items: T[]) => Promise<void>;
  waitMs: number;
  waitUntil: (work: Promise<unknown>) => void;
  now: () => number;
};

/**
 * Batches items of concurrent requests to one destination. The first item schedules a flush, which takes those that have
 * come by then. The flush runs in that request's `waitUntil`: if the request is cancelled or `flush` rejects, the batch is
 * lost, so items must be recoverable elsewhere.
 */
export class Batcher<T> {
  #items: T[] = [];
  /** When the scheduled flush runs, in Unix milliseconds. */
  #dueAt: number | undefined;

  /** Adds items, and schedules a flush with these functions unless one is scheduled already. */
  put(items: readonly T[], { flush, waitMs, waitUntil, now }: BatchFlusher<T>): void {
    this.#items.push(...items);
    const isScheduled = this.#dueAt !== undefined && now() < this.#dueAt + STALLED_MS;
    if (this.#items.length === 0 || isScheduled) return;
    this.#dueAt = now() + waitMs;
    const flushLater = async (): Promise<void> => {
      await sleep(waitMs);
      this.#dueAt = undefined;
      const batch = this.takeAll();
      if (batch.length > 0) await flush(batch);
    };
    waitUntil(flushLater().catch((cause: unknown) => console.error("batch flush failed", cause)));
  }

  /** Takes the items that wait, for a request that has to see them at their destination: it flushes them itself. */
  takeAll(): T[] {
    return this.#items.splice(0);
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

/**
 * Runs `work` with all items; if it rejects, with each half of them, down to single ones. Resolves to the items with which
 * it failed. `mayGoOn`: false ends it, and what was not tried counts as failed.
 */
export async function tryInHalves<T>(
  items: readonly T[],
  work: (some: readonly T[]) => Promise<unknown>,
  mayGoOn = (): boolean => true,
): Promise<readonly T[]> {
  if (!mayGoOn()) return items;
  try {
    await work(items);
    return [];
  } catch {
    if (items.length <= 1) return items;
    const middle = items.length >> 1;
    const first = await tryInHalves(items.slice(0, middle), work, mayGoOn);
    return [...first, ...(await tryInHalves(items.slice(middle), work, mayGoOn))];
  }
}
