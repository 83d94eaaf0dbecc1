import { StreamAccumulator } from "../../canonical/accumulator.ts";
import { findFailure } from "../../canonical/failed-answer.ts";
import type { StreamEvent, Usage } from "../../canonical/types.ts";
import type { StreamDecoder } from "../../dialects/dialect.ts";
import type { EventEditor } from "../../shield/event-editor.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
import { decodeSse, type SseEvent, SseSplitter } from "../../wire/sse.ts";

/** Stands for the event of decoded events that have none, at the end of a stream. */
export const NO_EVENT: SseEvent = { raw: new Uint8Array(0) };

/**
 * An event with its meaning. `isFinishing`: the provider's answer is complete with this event. `isFailing`: and it ended
 * with a failure. `isBehindEnd`: it follows the terminal event or an error, and is no terminal event that an error needs
 * (`[DONE]`).
 */
export type ReadEvent = {
  event: SseEvent;
  decoded: StreamEvent[];
  isFinishing: boolean;
  isFailing: boolean;
  isBehindEnd?: boolean;
};

/** Whether the decoder left the event out, so that it is not passed on either. */
export const isMalformed = (decoded: readonly StreamEvent[]): boolean => decoded.some(({ type }) => type === "loss");

/** Reads a stream: bytes are split into events, decoded, and accumulated into the answer so far. */
export class StreamReader {
  readonly accumulated = new StreamAccumulator();
  readonly #decoder: StreamDecoder;
  readonly #splitter = new SseSplitter();
  readonly #editor: EventEditor | undefined;
  #hasEnded = false;
  #lastEvent: SseEvent | undefined;
  #wasOpen = false;
  #wasWithinEvent = false;
  #wasMarked = false;
  #missingTerminator = "";

  /** `editor`: changes events before they are decoded, and holds some back. */
  constructor(decoder: StreamDecoder, editor?: EventEditor) {
    this.#decoder = decoder;
    this.#editor = editor;
  }

  /** The provider has completed its answer: later errors do not change it. */
  get isFinished(): boolean {
    return this.#decoder.isAnswerComplete;
  }

  /** The stream has reported an error: the answer is over, and only usage can follow. */
  get hasFailed(): boolean {
    return this.accumulated.error !== undefined;
  }

  /** The answer ended with the provider's word for a failure; `end` returns the error. */
  get isFailing(): boolean {
    return this.#decoder.isFailing === true;
  }

  /** The terminal event was received: only the end of the connection can follow. */
  get isTerminated(): boolean {
    return this.#decoder.isTerminated === true;
  }

  /**
   * The provider's bytes contain the mark that ends a stream of this wire: the terminal event, or where the wire has
   * none, the finish reason.
   */
  get hasEndMark(): boolean {
    if (this.#hasEnded) return this.#wasMarked;
    const { isAnswerComplete, terminator = "" } = this.#decoder;
    return this.isTerminated || (isAnswerComplete && terminator === "");
  }

  /** Usage reported so far. */
  get usage(): Usage {
    return this.#decoder.usage;
  }

  /** The stream broke inside a block of the answer. */
  get isWithinBlock(): boolean {
    return this.#hasEnded ? this.#wasOpen : this.accumulated.isOpen;
  }

  /** The terminal event if the provider omitted it, as the client waits for it; otherwise "". */
  get missingTerminator(): string {
    return this.#missingTerminator;
  }

  /** The last event with data that is neither an error nor malformed. */
  get lastEvent(): SseEvent | undefined {
    return this.#lastEvent;
  }

  /** Events to append to the provider's bytes. If it broke inside an event, a blank line ends that one first. */
  afterPartialEvent(events: string): string {
    const isWithin = this.#hasEnded ? this.#wasWithinEvent : this.#splitter.isWithinEvent;
    return isWithin && events !== "" ? `\n\n${events}` : events;
  }

  /** Reads a chunk. An event is returned once it is complete. */
  push(chunk: Uint8Array): ReadEvent[] {
    return this.#edit(this.#splitter.push(chunk)).map((event) => this.#readEvent(event));
  }

  /**
   * Reads the end: a last event without a blank line, the decoder's closing events, and the missing terminal event.
   * Further calls return nothing.
   */
  end(): ReadEvent[] {
    if (this.#hasEnded) return [];
    this.#wasOpen = this.accumulated.isOpen;
    this.#wasWithinEvent = this.#splitter.isWithinEvent;
    const last = [...this.#edit(this.#splitter.flush()), ...(this.#editor?.end() ?? [])];
    const rest = last.map((event) => this.#readEvent(event));
    this.#wasMarked = this.hasEndMark;
    this.#hasEnded = true;
    const { isTerminated, terminator = "" } = this.#decoder;
    const decoded = this.#decoder.end().map(failIfFailed);
    for (const event of decoded) this.accumulated.push(event);
    // After an error, it would report a success.
    if (this.accumulated.response !== undefined && isTerminated === false) this.#missingTerminator = terminator;
    const state = this.#readState();
    // The blank lines that end a partial event are events of their own.
    const missing = decodeSse(encodeUtf8(this.afterPartialEvent(this.#missingTerminator)));
    return [
      ...rest,
      ...missing.map((event) => ({ event, decoded: [], ...state })),
      { event: NO_EVENT, decoded, ...state },
    ];
  }

  #edit(events: SseEvent[]): SseEvent[] {
    const editor = this.#editor;
    return editor === undefined ? events : events.flatMap((event) => editor.push(event));
  }

  #readEvent(event: SseEvent): ReadEvent {
    const { isTerminated, hasFailed } = this;
    const decoded = this.#decoder.push(event).map(failIfFailed);
    const isBehindEnd = event.data !== undefined && (isTerminated || (hasFailed && !this.isTerminated));
    if (event.data !== undefined && decoded.every(({ type }) => type !== "error" && type !== "loss"))
      this.#lastEvent = event;
    for (const one of decoded) this.accumulated.push(one);
    return { event, decoded, isBehindEnd, ...this.#readState() };
  }

  #readState(): Pick<ReadEvent, "isFinishing" | "isFailing"> {
    const { isAnswerComplete, isFailing } = this.#decoder;
    return { isFinishing: isAnswerComplete, isFailing: isFailing === true };
  }
}

/** The end of an answer; the error of one that ended with a failure. Other events are unchanged. */
function failIfFailed(event: StreamEvent): StreamEvent {
  const error = event.type === "end" ? findFailure(event) : undefined;
  return error === undefined ? event : { type: "error", error };
}
