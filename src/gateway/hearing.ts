import { Fold } from "../canonical/fold.ts";
import type { StreamEvent, Usage } from "../canonical/types.ts";
import { GatewayError } from "../canonical/error.ts";
import type { StreamDecoder } from "../dialects/dialect.ts";
import { type SseEvent, SseSplitter } from "../wire/sse.ts";

/** Stands where a meaning has no event of its own: at the end of a stream. */
export const NO_EVENT: SseEvent = { raw: new Uint8Array(0) };

export type Heard = { event: SseEvent; decoded: StreamEvent[]; isFinishing: boolean };

/** Bytes → events → meaning → the answer as far as it has come. */
export class Hearing {
  readonly folded = new Fold();
  readonly #decoder: StreamDecoder;
  readonly #splitter = new SseSplitter();
  #hasEnded = false;
  #wasOpen = false;

  constructor(decoder: StreamDecoder) {
    this.#decoder = decoder;
  }

  /** The provider has said that its answer is done: nothing that comes after can take it back. */
  get isFinished(): boolean {
    return this.#decoder.isFinishing;
  }

  /** It has said its very last word: all that can still come is the end of the connection. */
  get isOver(): boolean {
    return this.#decoder.isOver === true;
  }

  /** What the provider has counted so far. */
  get counted(): Usage {
    return this.#decoder.counted;
  }

  /** The provider has broken off within a block. */
  get isWithinBlock(): boolean {
    return this.#hasEnded ? this.#wasOpen : this.folded.isOpen;
  }

  push(chunk: Uint8Array): Heard[] {
    return this.#splitter.push(chunk).map((event) => this.#hear(event));
  }

  /** A last event without its blank line, and what the decoder makes of the end. */
  end(): Heard[] {
    if (this.#hasEnded) return [];
    this.#hasEnded = true;
    this.#wasOpen = this.folded.isOpen;
    const rest = this.#splitter.flush().map((event) => this.#hear(event));
    const decoded = this.#decoder.end();
    for (const event of decoded) this.folded.push(event);
    return [...rest, { event: NO_EVENT, decoded, isFinishing: this.#decoder.isFinishing }];
  }

  #hear(event: SseEvent): Heard {
    const decoded = this.#decoder.push(event);
    for (const one of decoded) this.folded.push(one);
    return { event, decoded, isFinishing: this.#decoder.isFinishing };
  }
}

/** Why a call ends early that nobody waits for. */
export const LEFT = new GatewayError("stream.interrupted", "the client left, and had asked to cancel then");

/** The same for everyone. */
export const STOPPED = new GatewayError("stream.interrupted", "the call was cancelled");

/** What a thrown thing says of a stream: an error of ours as it is, any other as a break. */
export const brokenOff = (thrown: unknown): GatewayError =>
  thrown instanceof GatewayError
    ? thrown
    : new GatewayError("stream.interrupted", "the provider's stream broke off", { cause: thrown });
