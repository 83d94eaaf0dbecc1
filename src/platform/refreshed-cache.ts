/** How long a value is used. After half of it, it is refreshed in the background. Milliseconds. */
const CACHE_MS = 20_000;

type Cached<T> = { value: T; loadedAt: number; refreshStartedAt: number };

/** Values of organisations that may change elsewhere: a change is seen after `CACHE_MS`, and a busy organisation never waits for it. */
export class RefreshedCache<T> {
  readonly #values = new Map<string, Cached<T>>();
  readonly #max: number;
  readonly #sizeOf: (value: T) => number;
  #size = 0;

  /** `max`: the size of all values together, by default their number; beyond it the cache is cleared. */
  constructor(max: number, sizeOf: (value: T) => number = () => 1) {
    this.#max = max;
    this.#sizeOf = sizeOf;
  }

  /** `load` gets the value that is known. `isCurrent`: whether a value may still be used. */
  async get(
    org: string,
    load: (known: T | undefined) => Promise<T>,
    {
      waitUntil,
      isCurrent = () => true,
    }: { waitUntil: (work: Promise<unknown>) => void; isCurrent?: (value: T) => boolean },
  ): Promise<T> {
    const now = Date.now();
    const cached = this.#values.get(org);
    if (cached === undefined || !isCurrent(cached.value) || now - cached.loadedAt > CACHE_MS)
      return await this.#load(org, load);
    if (now - cached.refreshStartedAt > CACHE_MS / 2) {
      cached.refreshStartedAt = now;
      waitUntil(this.#load(org, load).catch(() => {}));
    }
    return cached.value;
  }

  delete(org: string): boolean {
    const cached = this.#values.get(org);
    if (cached !== undefined) this.#size -= this.#sizeOf(cached.value);
    return this.#values.delete(org);
  }

  clear(): void {
    this.#values.clear();
    this.#size = 0;
  }

  async #load(org: string, load: (known: T | undefined) => Promise<T>): Promise<T> {
    const loadedAt = Date.now();
    const value = await load(this.#values.get(org)?.value);
    this.delete(org);
    const size = this.#sizeOf(value);
    if (this.#size + size > this.#max) this.clear();
    this.#size += size;
    this.#values.set(org, { value, loadedAt, refreshStartedAt: loadedAt });
    return value;
  }
}
