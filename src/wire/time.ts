/** Resolves after `ms` milliseconds. Rejects with the signal's reason once the signal is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/**
 * Settles as `promise` does, or resolves to `undefined` after `ms` milliseconds. The promise's work is not cancelled,
 * and a rejection after the timeout is not reported as unhandled.
 */
export async function raceTimeout<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** A limit of time that can be held: its signal is aborted when `ms` milliseconds have passed in which it was not. */
export class Deadline {
  readonly #controller = new AbortController();
  #left: number;
  #since = 0;
  #holds = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ms: number) {
    this.#left = ms;
    this.#start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Resolves as `work` does; the time until then does not count. */
  async hold<T>(work: Promise<T>): Promise<T> {
    if (this.#holds++ === 0) {
      clearTimeout(this.#timer);
      this.#left -= Date.now() - this.#since;
    }
    try {
      return await work;
    } finally {
      if (--this.#holds === 0) this.#start();
    }
  }

  /** Ends the limit. */
  clear(): void {
    clearTimeout(this.#timer);
  }

  #start(): void {
    this.#since = Date.now();
    this.#timer = setTimeout(() => this.#controller.abort(new DOMException("timed out", "TimeoutError")), this.#left);
  }
}
