import { StreamAccumulator } from "../../canonical/accumulator.ts";
import type { StreamEvent, Usage } from "../../canonical/types.ts";
import type { StreamDecoder } from "../../dialects/dialect.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
import { decodeSse, type SseEvent, SseSplitter } from "../../wire/sse.ts";

/** Stands where a meaning has no event of its own: at the end of a stream. */
export const NO_EVENT: SseEvent = { raw: new Uint8Array(0) };

export type ReadEvent = { event: SseEvent; decoded: StreamEvent[]; isFinishing: boolean };

/** Bytes → events → meaning → the answer as far as it has come. */
export class StreamReader {
  readonly accumulated = new StreamAccumulator();
  readonly #decoder: StreamDecoder;
  readonly #splitter = new SseSplitter();
  #hasEnded = false;
  #lastEvent: SseEvent | undefined;
  #wasOpen = false;
  #wasWithinEvent = false;
  #missingTerminator = "";

  constructor(decoder: StreamDecoder) {
    this.#decoder = decoder;
  }

  /** The provider has said that its answer is done: nothing that comes after can take it back. */
  get isFinished(): boolean {
    return this.#decoder.isAnswerComplete;
  }

  /** It has said its very last word: all that can still come is the end of the connection. */
  get isTerminated(): boolean {
    return this.#decoder.isTerminated === true;
  }

  /** What the provider has counted so far. */
  get usage(): Usage {
    return this.#decoder.usage;
  }

  /** The provider has broken off within a block. */
  get isWithinBlock(): boolean {
    return this.#hasEnded ? this.#wasOpen : this.accumulated.isOpen;
  }

  /** What a client has to be told at the end, and the provider did not say. */
  get missingTerminator(): string {
    return this.#missingTerminator;
  }

  /** The last event that said something, and no error. */
  get lastEvent(): SseEvent | undefined {
    return this.#lastEvent;
  }

  /** Events of ours behind bytes of the provider's: it may have broken off within an event, which has to end first. */
  afterPartialEvent(events: string): string {
    const isWithin = this.#hasEnded ? this.#wasWithinEvent : this.#splitter.isWithinEvent;
    return isWithin && events !== "" ? `\n\n${events}` : events;
  }

  push(chunk: Uint8Array): ReadEvent[] {
    return this.#splitter.push(chunk).map((event) => this.#readEvent(event));
  }

  /** A last event without its blank line, what the decoder makes of the end, and the wire's own if it was left out. */
  end(): ReadEvent[] {
    if (this.#hasEnded) return [];
    this.#hasEnded = true;
    this.#wasOpen = this.accumulated.isOpen;
    this.#wasWithinEvent = this.#splitter.isWithinEvent;
    const rest = this.#splitter.flush().map((event) => this.#readEvent(event));
    const { isAnswerComplete: isFinishing, isTerminated, terminator = "" } = this.#decoder;
    if (isFinishing && isTerminated === false) this.#missingTerminator = terminator;
    const decoded = this.#decoder.end();
    for (const event of decoded) this.accumulated.push(event);
    const [event = NO_EVENT] = decodeSse(encodeUtf8(this.afterPartialEvent(this.#missingTerminator)));
    return [...rest, { event, decoded, isFinishing: this.#decoder.isAnswerComplete }];
  }

  #readEvent(event: SseEvent): ReadEvent {
    const decoded = this.#decoder.push(event);
    if (event.data !== undefined && decoded.every(({ type }) => type !== "error")) this.#lastEvent = event;
    for (const one of decoded) this.accumulated.push(one);
    return { event, decoded, isFinishing: this.#decoder.isAnswerComplete };
  }
}
