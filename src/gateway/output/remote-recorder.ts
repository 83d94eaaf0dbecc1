import type { EventCount } from "../../session/stream/segments.ts";
import { concatBytes } from "../../wire/bytes.ts";
import type { StreamRecorder } from "./recorder.ts";

/** How much of a stream goes to its session at once, and how long what is less may wait: each time is a request and a row. */
const CHUNK_BYTES = 64 * 1024;
const CHUNK_AGE_MS = 10_000;
/** How long a stream runs before its session knows of it. */
const FIRST_CHUNK_MS = 1_000;

/** Some of a stream, on its way to where it is kept. */
export type StreamChunk = { bytes: Uint8Array; count: EventCount };

/**
 * The tape of a stream that does not run where it is kept. It goes there 64 KiB at a time, and the end of it together
 * with the call's record: a stream that is short costs no message of its own, and a long one no memory.
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

  /** `send` is called in order, once at a time. */
  constructor(send: (chunk: StreamChunk) => Promise<void>, now: () => number) {
    this.#send = send;
    this.#now = now;
    // Whoever asks for the stream finds it from then on, though nothing may have been said yet.
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

  /** Whether some of it has gone already. */
  get hasSent(): boolean {
    return this.#sentAt !== undefined;
  }

  /** Resolves when the stream has ended, to what is still to go. */
  async takeRest(): Promise<StreamChunk> {
    await this.#ended.promise;
    await this.#sending;
    return this.#takeChunk();
  }

  #sendChunk(): void {
    clearTimeout(this.#timer);
    this.#sentAt = this.#now();
    const chunk = this.#takeChunk();
    // What does not arrive cannot be told again; the call itself goes on.
    this.#sending = this.#sending.then(() => this.#send(chunk)).catch(() => {});
  }

  #takeChunk(): StreamChunk {
    const chunk = { bytes: concatBytes(this.#parts), count: this.#count };
    this.#parts = [];
    this.#size = 0;
    this.#count = NO_EVENTS;
    return chunk;
  }
}

const NO_EVENTS: EventCount = { blocks: 0, events: 0 };
