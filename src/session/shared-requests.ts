/** The beginning of a request that another entry of the same journal has: so many of its UTF-16 code units. */
export type RequestBase = { id: string; length: number };

/** A request as an entry stores it: whole, or what follows its base. */
export type SharedRequest = { request: string; base?: RequestBase };

/** A request that others may start with. `isStored`: durable in its journal; only then others depend on it. */
type Anchor = { owner: string; journal: string; id: string; text: string; isStored: boolean };

/** Below this length a request is stored whole. UTF-16 code units. */
const MIN_LENGTH = 32_000;
/** How many requests are remembered, and how long they may be together, in the same unit. */
const MAX_ANCHORS = 8;
const MAX_LENGTH = 4_000_000;

/**
 * The last large requests of an isolate. A client that sends its whole transcript with each call sends hundreds of
 * kilobytes again, which are stored once: an entry has only what follows the part that it shares with an earlier one.
 */
export class SharedRequests {
  #anchors: Anchor[] = [];

  /** `owner`: whose requests may share bytes. `id`: the entry's. */
  share(text: string, { owner, journal, id }: Omit<Anchor, "text" | "isStored">): SharedRequest {
    if (text.length < MIN_LENGTH) return { request: text };
    const own = this.#anchors.filter((anchor) => anchor.owner === owner && anchor.journal === journal);
    const lengths = own.map((anchor) => countCommon(anchor.text, text));
    const length = Math.max(0, ...lengths);
    if (length < text.length / 2) {
      this.#remember({ owner, journal, id, text, isStored: false });
      return { request: text };
    }
    const anchor = own[lengths.indexOf(length)]!;
    return anchor.isStored ? { request: text.slice(length), base: { id: anchor.id, length } } : { request: text };
  }

  /** To be called when entries are durable. */
  onStored(ids: readonly string[]): void {
    for (const anchor of this.#anchors) anchor.isStored ||= ids.includes(anchor.id);
  }

  /** To be called for an entry that is no longer there. */
  forget(id: string): void {
    this.#anchors = this.#anchors.filter((anchor) => anchor.id !== id);
  }

  #remember(anchor: Anchor): void {
    this.#anchors = [...this.#anchors, anchor].slice(-MAX_ANCHORS);
    while (this.#anchors.length > 1 && this.#anchors.reduce((sum, { text }) => sum + text.length, 0) > MAX_LENGTH)
      this.#anchors.shift();
  }
}

/** How many units two texts have in common at their start. A pair of surrogates is not divided: half of it has no UTF-8. */
function countCommon(a: string, b: string): number {
  let same = 0;
  let different = Math.min(a.length, b.length) + 1;
  // Comparing slices takes microseconds for a megabyte, so halving is fast.
  while (different - same > 1) {
    const middle = (same + different) >> 1;
    if (a.slice(same, middle) === b.slice(same, middle)) same = middle;
    else different = middle;
  }
  const isDivided = same < b.length && (b.charCodeAt(same - 1) & 0xfc00) === 0xd800;
  return isDivided ? same - 1 : same;
}
