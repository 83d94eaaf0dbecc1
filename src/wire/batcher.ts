import { sleep } from "./time.ts";

/** How long what comes close together is gathered. Milliseconds. */
const INTERVAL_MS = 25;
/** Whoever waits for the others may be gone before it has left. From then on somebody else does. Milliseconds. */
const STALLED_MS = 1_000;

/** Who carries what was gathered; until when it stays awake for that. What `carry` throws goes to the log. */
export type BatchFlusher<T> = {
  flush: (things: T[]) => Promise<void>;
  waitUntil: (work: Promise<unknown>) => void;
  now: () => number;
};

/**
 * What many requests of one isolate have for the same place, so that it goes there together: at once when it has been
 * quiet, otherwise when the last has left for a moment. One of those who have something carries it for all of them; what
 * the others have must be found again some other way, should it not arrive.
 */
export class Batcher<T> {
  #items: T[] = [];
  #dueAt: number | undefined;
  #flushedAt = 0;

  put(things: readonly T[], { flush: carry, waitUntil, now }: BatchFlusher<T>): void {
    this.#items.push(...things);
    const isCarried = this.#dueAt !== undefined && now() < this.#dueAt + STALLED_MS;
    if (this.#items.length === 0 || isCarried) return;
    const wait = Math.max(0, this.#flushedAt + INTERVAL_MS - now());
    this.#dueAt = now() + wait;
    const carried = async (): Promise<void> => {
      if (wait > 0) await sleep(wait);
      this.#dueAt = undefined;
      this.#flushedAt = now();
      await carry(this.#items.splice(0));
    };
    waitUntil(carried().catch((cause: unknown) => console.error("what was gathered did not arrive", cause)));
  }
}

/** Neighbours together, as long as their sizes add up to no more than `most`; what is larger stands alone. */
export function chunkBySize<T>(things: readonly T[], sizeOf: (thing: T) => number, most: number): T[][] {
  const packs: T[][] = [];
  let size = Infinity;
  for (const thing of things) {
    size += sizeOf(thing);
    if (size > most) {
      packs.push([]);
      size = sizeOf(thing);
    }
    packs.at(-1)!.push(thing);
  }
  return packs;
}
