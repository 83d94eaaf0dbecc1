import { GatewayError } from "../canonical/error.ts";

/** How long a call waits for its turn on a session. SPEC 5.8. */
const MAX_WAIT_MS = 30_000;

/** One writer at a time, the others in the order in which they came. */
export class Lease {
  #isTaken = false;
  readonly #waiting: (() => void)[] = [];

  /** Resolves to what gives the lease back; calling that twice is harmless. Throws `session.busy`. */
  async acquire(onBusy: "queue" | "reject"): Promise<() => void> {
    if (this.#isTaken) {
      if (onBusy === "reject") throw busy("another call is running on this session");
      await this.#wait();
    }
    return this.#grant();
  }

  /** undefined: another has it. */
  tryAcquire(): (() => void) | undefined {
    return this.#isTaken ? undefined : this.#grant();
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

  async #wait(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const proceed = (): void => {
        clearTimeout(timer);
        // Taken at once, so that nobody slips in before the awaiting caller runs.
        this.#isTaken = true;
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(proceed), 1);
        reject(busy(`the session was busy for ${MAX_WAIT_MS / 1000} s`));
      }, MAX_WAIT_MS);
      this.#waiting.push(proceed);
    });
  }
}

const busy = (message: string): GatewayError => new GatewayError("session.busy", message, { retryAfterSeconds: 1 });
