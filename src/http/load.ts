import { GatewayError } from "../canonical/error.ts";

/** What an isolate holds at once: beyond it new calls are told to come again, and those it has go on undisturbed. */
export type Capacity = { calls: number; bytes: number };

/**
 * An isolate has 128 MB for all of its calls. A call that only waits takes some 20 KB; its body is held as a text and in
 * the request made of it.
 */
const CAPACITY: Capacity = { calls: 2_000, bytes: 24 * 1024 * 1024 };

export class Room {
  readonly #capacity: Capacity;
  #calls = 0;
  #bytes = 0;

  constructor(capacity: Capacity = CAPACITY) {
    this.#capacity = capacity;
  }

  /** A call begins; to be left when all of its work is done. Throws `rate.limited` with `retry-after`. */
  enter(): Held {
    if (this.#calls >= this.#capacity.calls) throw full();
    this.#calls++;
    let own = 0;
    let isHere = true;
    return {
      // A single large body is always taken: there is nobody to wait for.
      hold: (bytes) => {
        if (this.#bytes > 0 && this.#bytes + bytes > this.#capacity.bytes) throw full();
        this.#bytes += bytes;
        own += bytes;
      },
      leave: () => {
        if (!isHere) return;
        isHere = false;
        this.#calls--;
        this.#bytes -= own;
      },
    };
  }
}

/** A call's part of the load. `hold` throws as `enter` does; leaving twice is harmless. */
export type Held = { hold: (bytes: number) => void; leave: () => void };

const full = (): GatewayError =>
  new GatewayError("rate.limited", "the gateway holds as many calls as it can; try again in a second", {
    status: 503,
    retryAfterSeconds: 1,
  });
