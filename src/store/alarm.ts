/** An object has one alarm, which is set for the earliest of all that wait for it. */
export class Alarm {
  readonly #set: (at: number) => void;
  readonly #now: () => number;
  /** As far as this life of the object knows. Unix milliseconds. */
  #at = Infinity;

  constructor(set: (at: number) => void, now: () => number) {
    this.#set = set;
    this.#now = now;
  }

  /** Has it come in so many milliseconds at the latest. */
  scheduleWithin(ms: number): void {
    const at = this.#now() + ms;
    if (this.#at <= at) return;
    this.#at = at;
    this.#set(at);
  }

  /** It has come, and will not again by itself. */
  onAlarm(): void {
    this.#at = Infinity;
  }
}
