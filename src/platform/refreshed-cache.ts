/** How long a value is used. After half of it, it is refreshed in the background. Milliseconds. */
const CACHE_MS = 20_000;

type Cached<T> = { value: T; loadedAt: number; refreshStartedAt: number };

/** Values of organisations that may change elsewhere: a change is seen after `CACHE_MS`, and a busy organisation never waits for it. */
export class RefreshedCache<T> {
  readonly #values = new Map<string, Cached<T>>();
  readonly #max: number;

  /** `max`: organisations in the cache; beyond it the cache is cleared. */
  constructor(max: number) {
    this.#max = max;
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
    return this.#values.delete(org);
  }

  async #load(org: string, load: (known: T | undefined) => Promise<T>): Promise<T> {
    const loadedAt = Date.now();
    const value = await load(this.#values.get(org)?.value);
    if (this.#values.size >= this.#max) this.#values.clear();
    this.#values.set(org, { value, loadedAt, refreshStartedAt: loadedAt });
    return value;
  }
}
