import type { EventCount } from "../../session/stream/segments.ts";
import { concatBytes } from "../../wire/bytes.ts";
import type { StreamRecorder } from "./recorder.ts";

/** Size at which a chunk is sent. Each chunk costs a request and a row. Bytes. */
const CHUNK_BYTES = 64 * 1024;
/** Age at which a smaller chunk is sent. Milliseconds. */
const CHUNK_AGE_MS = 10_000;
/** When the first chunk is sent, so that the stream can be found in its session. Milliseconds. */
const FIRST_CHUNK_MS = 1_000;

/** A part of a stream on its way to its session. */
export type StreamChunk = { bytes: Uint8Array; count: EventCount };

/**
 * Records a stream that runs in another isolate than its session. It is sent in chunks of 64 KiB, and the rest together
 * with the call's record: a short stream costs no message of its own, and a long one no memory.
 */
export class RemoteRecorder implements StreamRecorder {
  readonly #send: (chunk: StreamChunk) => Promise<void>;
  readonly #now: () => number;
  readonly #ended = Promise.withResolvers<void>();
  readonly #timer: ReturnType<typeof setTimeout>;
  #parts: Uint8Array[] = [];
  #size = 0;
  #count: EventCount = NO_EVENTS;
  #sentAt: number | undefined;
  #sending: Promise<void> = Promise.resolve();

  /** `send` is called in order, one call at a time. `now`: Unix milliseconds. */
  constructor(send: (chunk: StreamChunk) => Promise<void>, now: () => number) {
    this.#send = send;
    this.#now = now;
    // Even without content, so that a client that requests the stream from the session finds it.
    this.#timer = setTimeout(() => this.#sendChunk(), FIRST_CHUNK_MS);
  }

  append(bytes: Uint8Array, { blocks, events }: EventCount): void {
    if (bytes.length === 0) return;
    this.#parts.push(bytes);
    this.#size += bytes.length;
    this.#count = { blocks: this.#count.blocks + blocks, events: this.#count.events + events };
    const isDue = this.#sentAt !== undefined && this.#now() - this.#sentAt >= CHUNK_AGE_MS;
    if (isDue || this.#size >= CHUNK_BYTES) this.#sendChunk();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#ended.resolve();
  }

  /** Whether a chunk has been sent. */
  get hasSent(): boolean {
    return this.#sentAt !== undefined;
  }

  /** Resolves at the end of the stream to what has not been sent. */
  async takeRest(): Promise<StreamChunk> {
    await this.#ended.promise;
    await this.#sending;
    return this.#takeChunk();
  }

  #sendChunk(): void {
    clearTimeout(this.#timer);
    this.#sentAt = this.#now();
    const chunk = this.#takeChunk();
    // A chunk that is not delivered is missing from the recording; the call itself continues.
    this.#sending = this.#sending.then(() => this.#send(chunk)).catch(() => {});
  }

  /** Takes what is collected and resets the collection. */
  #takeChunk(): StreamChunk {
    const chunk = { bytes: concatBytes(this.#parts), count: this.#count };
    this.#parts = [];
    this.#size = 0;
    this.#count = NO_EVENTS;
    return chunk;
  }
}

const NO_EVENTS: EventCount = { blocks: 0, events: 0 };
