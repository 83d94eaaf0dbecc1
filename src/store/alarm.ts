/** Shares the one alarm of a Durable Object: it is set for the earliest of all requested times. */
export class Alarm {
  readonly #set: (at: number) => void;
  readonly #now: () => number;
  /** The alarm's time as far as this instance has set it; Infinity: not set. Unix milliseconds. */
  #at = Infinity;

  constructor(set: (at: number) => void, now: () => number) {
    this.#set = set;
    this.#now = now;
  }

  /** Makes the alarm go off in `ms` milliseconds at the latest. */
  scheduleWithin(ms: number): void {
    const at = this.#now() + ms;
    if (this.#at <= at) return;
    this.#at = at;
    this.#set(at);
  }

  /** To be called when the alarm goes off: it is not set any more. */
  onAlarm(): void {
    this.#at = Infinity;
  }
}
