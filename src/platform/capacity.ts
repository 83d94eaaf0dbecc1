import { GatewayError } from "../canonical/error.ts";

/** How many calls and bytes of request bodies an isolate holds at once. Calls beyond it are refused; running ones are not affected. */
type CapacityLimits = { calls: number; bytes: number };

/**
 * An isolate has 128 MB for all its calls; the gateway itself uses 12 MB. Measured after garbage collection
 * (docs/routing.md): a call that waits for its provider holds 24 KB, or 37 KB with its session in the same isolate, and
 * every byte of its body is held 3.1 or 4.2 times. With both limits reached that is 102 MB.
 */
const CAPACITY: CapacityLimits = { calls: 1_000, bytes: 12 * 1024 * 1024 };

/** Admission control of one isolate. */
export class Capacity {
  readonly #capacity: CapacityLimits;
  #calls = 0;
  #bytes = 0;

  constructor(capacity: CapacityLimits = CAPACITY) {
    this.#capacity = capacity;
  }

  /** Admits a call. `leave` must be called when all of its work is done. Throws `rate.limited`, 503 with `retry-after`. */
  enter(): HeldCapacity {
    if (this.#calls >= this.#capacity.calls) throw full();
    this.#calls++;
    let own = 0;
    let isCounted = true;
    return {
      // One large body may exceed the limit beside small ones; it would otherwise never be admitted.
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

/** A call's share of the capacity. `hold` adds bytes and throws as `enter` does; `leave` may be called twice. */
type HeldCapacity = { hold: (bytes: number) => void; leave: () => void };

const full = (): GatewayError =>
  new GatewayError("rate.limited", "the gateway is at capacity: retry in a second", {
    status: 503,
    retryAfterSeconds: 1,
  });
