import type { GatewayError } from "../../canonical/error.ts";
import type { StreamEvent } from "../../canonical/types.ts";
import type { ReplyContext, StreamEncoder, StreamUsage, WireDialect } from "../../dialects/dialect.ts";
import type { EventEditor } from "../../shield/event-editor.ts";
import { concatBytes, encodeUtf8 } from "../../wire/bytes.ts";
import { decodeSse, type SseEvent } from "../../wire/sse.ts";
import { EventNumberer, hasEventIds } from "../output/event-numbers.ts";
import { isMalformed } from "../upstream/stream-reader.ts";
import { addRequiredMembers, annotateEvent, isAnnotatedEnd } from "./annotate.ts";
import { toClientEvent } from "./client-answer.ts";

/**
 * Turns the events of an answer into the client's bytes. The end of the stream is held back until the turn is durable.
 */
export interface EventWriter {
  /**
   * `decoded`: the event's meaning. `isFinishing`: the provider has completed its answer, so the event belongs to the
   * end.
   */
  push(event: SseEvent, decoded: readonly StreamEvent[], isFinishing: boolean): Uint8Array;
  /** The events held back. `rhone`: the object of the finished call. */
  end(rhone: object): Uint8Array;
  /** The error's event, unless the provider's own error event has been passed on. */
  fail(error: GatewayError): Uint8Array;
  /** The writer for further events, which have no bytes of a provider. */
  withoutBytes(): EventWriter;
  /** Has numbered and counted the events returned. */
  readonly numberer: EventNumberer;
}

/**
 * `rhone`: the object for the first event; absent if the client wants the provider's stream unchanged. `hides`: finds
 * the usage event that only the gateway requested.
 */
export type WriterOptions = {
  surface: WireDialect;
  reply: ReplyContext;
  rhone?: object;
  hides?: StreamUsage["isUsageEvent"] | undefined;
  /** Changes events as the client gets them, and holds some back. */
  editor?: EventEditor | undefined;
};

/** Creates the encoder that continues the stream after its last event. */
type ResumeAfter = (last: SseEvent | undefined) => StreamEncoder;

/** Passes on the provider's own bytes, event by event. */
export class RelayWriter implements EventWriter {
  readonly #options: WriterOptions;
  readonly #resumeAfter: ResumeAfter;
  readonly numberer: EventNumberer;
  readonly #held: SseEvent[] = [];
  #lastSent: SseEvent | undefined;
  #hasStarted = false;
  #hasSentError = false;

  constructor(options: WriterOptions, resumeAfter: ResumeAfter) {
    this.#options = options;
    this.#resumeAfter = resumeAfter;
    this.numberer = createNumberer(options);
  }

  push(event: SseEvent, decoded: readonly StreamEvent[], isFinishing: boolean): Uint8Array {
    if (isMalformed(decoded)) return NOTHING;
    const error = decoded.find((one) => one.type === "error")?.error;
    // An error that is no event of this dialect is not passed on; `fail` sends it instead.
    if (error !== undefined && error.upstream === undefined) return NOTHING;
    if (error !== undefined) this.#hasSentError = true;
    if (this.#options.hides?.(event)) return NOTHING;
    const completed = this.#addRequired(event);
    if (isFinishing) {
      this.#held.push(completed);
      return NOTHING;
    }
    return this.#start(completed);
  }

  end(rhone: object): Uint8Array {
    const { surface, rhone: isAnnotated } = this.#options;
    const last =
      isAnnotated === undefined ? -1 : this.#held.findLastIndex((event) => isAnnotatedEnd(surface.id, event));
    const held = this.#held.map((event, i) =>
      this.numberer.numberBlock(i === last ? { ...event, raw: annotateEvent(surface.id, event, rhone) } : event),
    );
    return concatBytes([...held, this.numberer.flush()]);
  }

  fail(error: GatewayError): Uint8Array {
    // After the provider's own error event, the held end of its stream follows. Otherwise the end is dropped, as it
    // would report a success.
    const last = this.#hasSentError
      ? this.#held.map((event) => this.numberer.numberBlock(event))
      : [this.numberer.numberEncoded(this.#resumeAfter(this.#lastSent).push({ type: "error", error }))];
    return concatBytes([...last, this.numberer.flush()]);
  }

  withoutBytes(): EventWriter {
    return new TranslationWriter(this.#options, {
      encoder: this.#resumeAfter(this.#lastSent),
      numberer: this.numberer,
    });
  }

  /** An annotated stream is changed anyway, so required members that are missing are added too. */
  #addRequired(event: SseEvent): SseEvent {
    const { surface, reply, rhone } = this.#options;
    return rhone === undefined ? event : addRequiredMembers(surface, event, reply);
  }

  /** Annotates the first event that has data. */
  #start(event: SseEvent): Uint8Array {
    if (event.data !== undefined) this.#lastSent = event;
    if (this.#hasStarted || event.data === undefined) return this.numberer.numberBlock(event);
    this.#hasStarted = true;
    const { surface, rhone } = this.#options;
    return this.numberer.numberBlock(
      rhone === undefined ? event : { ...event, raw: annotateEvent(surface.id, event, rhone) },
    );
  }
}

/** Encodes the decoded events in the client's dialect. */
export class TranslationWriter implements EventWriter {
  readonly #options: WriterOptions;
  readonly numberer: EventNumberer;
  readonly #encoder: StreamEncoder;
  readonly #held: StreamEvent[] = [];
  #hasStarted: boolean;

  /** `resumed`: of a stream whose beginning the client has received from another writer. */
  constructor(options: WriterOptions, resumed?: { encoder: StreamEncoder; numberer: EventNumberer }) {
    this.#options = options;
    this.numberer = resumed?.numberer ?? createNumberer(options);
    this.#encoder = resumed?.encoder ?? options.surface.encodeStream(options.reply);
    this.#hasStarted = resumed !== undefined;
  }

  push(_event: SseEvent, decoded: readonly StreamEvent[]): Uint8Array {
    const { surface, reply, rhone } = this.#options;
    const text = decoded
      .filter(({ type }) => type !== "error" && type !== "end")
      .map((event) => this.#encoder.push(toClientEvent(event, surface, reply)));
    this.#held.push(...decoded.filter(({ type }) => type === "end"));
    const encoded = text.join("");
    if (this.#hasStarted || encoded === "" || rhone === undefined) return this.numberer.numberEncoded(encoded);
    this.#hasStarted = true;
    return this.#annotate(encoded, rhone, () => 0);
  }

  end(rhone: object): Uint8Array {
    const text = this.#held.map((event) => this.#encoder.push(event)).join("");
    const { surface, rhone: isAnnotated } = this.#options;
    const last =
      isAnnotated === undefined
        ? this.numberer.numberEncoded(text)
        : this.#annotate(text, rhone, (all) => all.findLastIndex((event) => isAnnotatedEnd(surface.id, event)));
    return concatBytes([last, this.numberer.flush()]);
  }

  fail(error: GatewayError): Uint8Array {
    const last = this.numberer.numberEncoded(this.#encoder.push({ type: "error", error }));
    return concatBytes([last, this.numberer.flush()]);
  }

  withoutBytes(): EventWriter {
    return this;
  }

  /** Adds `rhone` to one of the encoded events. `which`: finds the event's index, -1 for none. */
  #annotate(text: string, rhone: object, which: (events: readonly SseEvent[]) => number): Uint8Array {
    const { surface } = this.#options;
    const events = decodeSse(encodeUtf8(text));
    const at = which(events);
    return concatBytes(
      events.map((event, i) =>
        this.numberer.numberBlock(i === at ? { ...event, raw: annotateEvent(surface.id, event, rhone) } : event),
      ),
    );
  }
}

/** Event ids are added only to streams that may be annotated. */
const createNumberer = ({ surface, rhone, editor }: WriterOptions): EventNumberer =>
  new EventNumberer(hasEventIds(surface.id, rhone !== undefined), { editor });

const NOTHING = new Uint8Array(0);
