import type { EventCount } from "../../session/stream/segments.ts";
import { concatBytes } from "../../wire/bytes.ts";
import type { StreamRecorder } from "./recorder.ts";

/** How much of a stream goes to its session at once, and how long what is less may wait: each time is a request and a row. */
const LOAD_BYTES = 64 * 1024;
const LOAD_MS = 10_000;
/** How long a stream runs before its session knows of it. */
const FIRST_MS = 1_000;

/** Some of a stream, on its way to where it is kept. */
export type StreamChunk = { bytes: Uint8Array; count: EventCount };

/**
 * The tape of a stream that does not run where it is kept. It goes there 64 KiB at a time, and the end of it together
 * with the call's record: a stream that is short costs no message of its own, and a long one no memory.
 */
export class RemoteRecorder implements StreamRecorder {
  readonly #send: (load: StreamChunk) => Promise<void>;
  readonly #now: () => number;
  readonly #over = Promise.withResolvers<void>();
  readonly #timer: ReturnType<typeof setTimeout>;
  #parts: Uint8Array[] = [];
  #size = 0;
  #count: EventCount = NONE;
  #sentAt: number | undefined;
  #sending: Promise<void> = Promise.resolve();

  /** `send` is called in order, once at a time. */
  constructor(send: (load: StreamChunk) => Promise<void>, now: () => number) {
    this.#send = send;
    this.#now = now;
    // Whoever asks for the stream finds it from then on, though nothing may have been said yet.
    this.#timer = setTimeout(() => this.#load(), FIRST_MS);
  }

  append(bytes: Uint8Array, { blocks, events }: EventCount): void {
    if (bytes.length === 0) return;
    this.#parts.push(bytes);
    this.#size += bytes.length;
    this.#count = { blocks: this.#count.blocks + blocks, events: this.#count.events + events };
    const isDue = this.#sentAt !== undefined && this.#now() - this.#sentAt >= LOAD_MS;
    if (isDue || this.#size >= LOAD_BYTES) this.#load();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#over.resolve();
  }

  /** Whether some of it has gone already. */
  get hasSent(): boolean {
    return this.#sentAt !== undefined;
  }

  /** Resolves when the stream has ended, to what is still to go. */
  async rest(): Promise<StreamChunk> {
    await this.#over.promise;
    await this.#sending;
    return this.#taken();
  }

  #load(): void {
    clearTimeout(this.#timer);
    this.#sentAt = this.#now();
    const load = this.#taken();
    // What does not arrive cannot be told again; the call itself goes on.
    this.#sending = this.#sending.then(() => this.#send(load)).catch(() => {});
  }

  #taken(): StreamChunk {
    const load = { bytes: concatBytes(this.#parts), count: this.#count };
    this.#parts = [];
    this.#size = 0;
    this.#count = NONE;
    return load;
  }
}

const NONE: EventCount = { blocks: 0, events: 0 };
