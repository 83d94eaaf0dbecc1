import { GatewayError } from "../canonical/error.ts";

/** What an isolate holds at once: beyond it new calls are told to come again, and those it has go on undisturbed. */
export type CapacityLimits = { calls: number; bytes: number };

/**
 * An isolate has 128 MB for all of its calls, and 12 MB of them are the gateway's own. Measured after a collection of
 * garbage (docs/routing.md): a call that waits for its provider holds 24 KB, 37 KB with its session in the same isolate,
 * and every byte of its body is held 3.1 and 4.2 times. Both filled, that is 102 MB.
 */
const CAPACITY: CapacityLimits = { calls: 1_000, bytes: 12 * 1024 * 1024 };

export class Capacity {
  readonly #capacity: CapacityLimits;
  #calls = 0;
  #bytes = 0;

  constructor(capacity: CapacityLimits = CAPACITY) {
    this.#capacity = capacity;
  }

  /** A call begins; to be left when all of its work is done. Throws `rate.limited` with `retry-after`. */
  enter(): HeldCapacity {
    if (this.#calls >= this.#capacity.calls) throw full();
    this.#calls++;
    let own = 0;
    let isCounted = true;
    return {
      // A large body is taken beside small ones, however large it is: there would always be some.
      hold: (bytes) => {
        const others = this.#bytes - own;
        if (others > this.#capacity.bytes / 2 && this.#bytes + bytes > this.#capacity.bytes) throw full();
        this.#bytes += bytes;
        own += bytes;
      },
      leave: () => {
        if (!isCounted) return;
        isCounted = false;
        this.#calls--;
        this.#bytes -= own;
      },
    };
  }
}

/** A call's part of the load. `hold` throws as `enter` does; leaving twice is harmless. */
export type HeldCapacity = { hold: (bytes: number) => void; leave: () => void };

const full = (): GatewayError =>
  new GatewayError("rate.limited", "the gateway holds as many calls as it can; try again in a second", {
    status: 503,
    retryAfterSeconds: 1,
  });
