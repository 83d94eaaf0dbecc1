import { GatewayError } from "../canonical/error.ts";

/** How long a call waits for a busy session before it fails with `session.busy`. Milliseconds. */
const MAX_WAIT_MS = 30_000;

/**
 * Gives a session to one call at a time; the others wait in the order of their arrival. A run that waits has a claim: no other call gets
 * the lease meanwhile.
 */
export class Lease {
  /** Throws `session.busy` while there is a claim. */
  readonly #requireUnclaimed: () => void;
  #isTaken = false;
  readonly #waiting: (() => void)[] = [];

  constructor(requireUnclaimed: () => void = () => {}) {
    this.#requireUnclaimed = requireUnclaimed;
  }

  /**
   * Resolves to the function that releases the lease; a second call of it does nothing. `reject` throws `session.busy` at
   * once if the lease is taken, `queue` after MAX_WAIT_MS; both if the session is claimed.
   */
  async acquire(onBusy: "queue" | "reject"): Promise<() => void> {
    if (this.#isTaken && onBusy === "reject") throw busy("another call is running on this session");
    const release = await this.acquireClaimed();
    try {
      this.#requireUnclaimed();
      return release;
    } catch (thrown) {
      release();
      throw thrown;
    }
  }

  /** `acquire` for the run that has the claim. Throws the reason of `signal` if that is aborted meanwhile. */
  async acquireClaimed(signal?: AbortSignal): Promise<() => void> {
    if (this.#isTaken) await this.#wait(signal);
    return this.#grant();
  }

  /** The function that releases the lease; undefined if it is taken, or the session is claimed. */
  tryAcquire(): (() => void) | undefined {
    if (this.#isTaken) return undefined;
    try {
      this.#requireUnclaimed();
    } catch {
      return undefined;
    }
    return this.#grant();
  }

  #grant(): () => void {
    this.#isTaken = true;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#isTaken = false;
      this.#waiting.shift()?.();
    };
  }

  async #wait(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const stopWaiting = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", giveUp);
      };
      const proceed = (): void => {
        stopWaiting();
        // Taken here, synchronously: another call could take it before the promise's continuation runs.
        this.#isTaken = true;
        resolve();
      };
      const giveUp = (): void => {
        stopWaiting();
        this.#waiting.splice(this.#waiting.indexOf(proceed), 1);
        reject(signal?.aborted ? signal.reason : busy(`the session was busy for ${MAX_WAIT_MS / 1000} s`));
      };
      const timer = setTimeout(giveUp, MAX_WAIT_MS);
      signal?.addEventListener("abort", giveUp);
      this.#waiting.push(proceed);
    });
  }
}

const busy = (message: string): GatewayError => new GatewayError("session.busy", message, { retryAfterSeconds: 1 });
