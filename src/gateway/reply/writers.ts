import type { GatewayError } from "../../canonical/error.ts";
import type { StreamEvent } from "../../canonical/types.ts";
import type { ReplyContext, StreamEncoder, StreamUsage, WireDialect } from "../../dialects/dialect.ts";
import type { EventCount } from "../../session/stream/segments.ts";
import { concatBytes, encodeUtf8 } from "../../wire/bytes.ts";
import { decodeSse, type SseEvent } from "../../wire/sse.ts";
import { annotateEvent, isAnnotatedEnd, addRequiredMembers } from "./annotate.ts";
import { hasEventIds, EventNumberer } from "../output/event-numbers.ts";

/** What a client hears of a stream: bytes now, and the end only when the turn is durable. */
export interface EventWriter {
  /** `decoded`: what the event means; `isFinishing`: the provider has finished its answer. */
  push(event: SseEvent, decoded: readonly StreamEvent[], isFinishing: boolean): Uint8Array;
  /** The end that was held back, with the finished call's `rhone` object. */
  end(rhone: object): Uint8Array;
  fail(error: GatewayError): Uint8Array;
  /** How much was told since this was asked last. */
  takeCount(): EventCount;
}

/**
 * `rhone`: the object for the stream's first event; absent when the client wants its stream untouched. `hides`: the
 * event that the client did not ask for.
 */
type WriterOptions = {
  surface: WireDialect;
  reply: ReplyContext;
  rhone?: object;
  hides?: StreamUsage["isUsageEvent"] | undefined;
};

/** The provider's own bytes, event by event; only the end is held back. */
export class RelayWriter implements EventWriter {
  readonly #options: WriterOptions;
  readonly #numberer: EventNumberer;
  readonly #held: SseEvent[] = [];
  #hasStarted = false;
  #hasSentError = false;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#numberer = createNumberer(options);
  }

  takeCount(): EventCount {
    return this.#numberer.takeCount();
  }

  push(event: SseEvent, decoded: readonly StreamEvent[], isFinishing: boolean): Uint8Array {
    const error = decoded.find((one) => one.type === "error")?.error;
    // What is no event of this wire at all is not passed on: `fail` says what is wrong with it.
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
    return concatBytes(
      this.#held.map((event, i) =>
        this.#numberer.numberBlock(i === last ? { ...event, raw: annotateEvent(surface.id, event, rhone) } : event),
      ),
    );
  }

  fail(error: GatewayError): Uint8Array {
    // The end that was held back is not said: it would tell of a success.
    if (this.#hasSentError) return concatBytes(this.#held.map((event) => this.#numberer.numberBlock(event)));
    const { surface, reply } = this.#options;
    return this.#numberer.numberEncoded(surface.encodeStream(reply).push({ type: "error", error }));
  }

  #addRequired(event: SseEvent): SseEvent {
    const { surface, reply, rhone } = this.#options;
    return rhone === undefined ? event : addRequiredMembers(surface, event, reply);
  }

  #start(event: SseEvent): Uint8Array {
    if (this.#hasStarted || event.data === undefined) return this.#numberer.numberBlock(event);
    this.#hasStarted = true;
    const { surface, rhone } = this.#options;
    return this.#numberer.numberBlock(
      rhone === undefined ? event : { ...event, raw: annotateEvent(surface.id, event, rhone) },
    );
  }
}

/** The same in the words of another wire. */
export class TranslationWriter implements EventWriter {
  readonly #options: WriterOptions;
  readonly #numberer: EventNumberer;
  readonly #encoder: StreamEncoder;
  readonly #held: StreamEvent[] = [];
  #hasStarted = false;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#numberer = createNumberer(options);
    this.#encoder = options.surface.encodeStream(options.reply);
  }

  takeCount(): EventCount {
    return this.#numberer.takeCount();
  }

  push(_event: SseEvent, decoded: readonly StreamEvent[]): Uint8Array {
    const text = decoded
      .filter(({ type }) => type !== "error" && type !== "end")
      .map((event) => this.#encoder.push(event));
    this.#held.push(...decoded.filter(({ type }) => type === "end"));
    const { rhone } = this.#options;
    const encoded = text.join("");
    if (this.#hasStarted || encoded === "" || rhone === undefined) return this.#numberer.numberEncoded(encoded);
    this.#hasStarted = true;
    return this.#annotate(encoded, rhone, () => 0);
  }

  /** What a client knows already, in its own words: nothing of it is said again. `last`: the event it was told last. */
  resumeAfter(sent: readonly StreamEvent[], last: SseEvent | undefined): void {
    for (const event of sent) this.#encoder.push(event);
    if (last !== undefined) this.#encoder.resumeAfter?.(last);
    this.#hasStarted = true;
  }

  end(rhone: object): Uint8Array {
    const text = this.#held.map((event) => this.#encoder.push(event)).join("");
    const { surface, rhone: isAnnotated } = this.#options;
    if (isAnnotated === undefined) return this.#numberer.numberEncoded(text);
    return this.#annotate(text, rhone, (events) => events.findLastIndex((event) => isAnnotatedEnd(surface.id, event)));
  }

  fail(error: GatewayError): Uint8Array {
    return this.#numberer.numberEncoded(this.#encoder.push({ type: "error", error }));
  }

  #annotate(text: string, rhone: object, which: (events: readonly SseEvent[]) => number): Uint8Array {
    const { surface } = this.#options;
    const events = decodeSse(encodeUtf8(text));
    const at = which(events);
    return concatBytes(
      events.map((event, i) =>
        this.#numberer.numberBlock(i === at ? { ...event, raw: annotateEvent(surface.id, event, rhone) } : event),
      ),
    );
  }
}

/** A stream that may be annotated may be numbered. */
const createNumberer = ({ surface, rhone }: WriterOptions): EventNumberer =>
  new EventNumberer(hasEventIds(surface.id, rhone !== undefined));

const NOTHING = new Uint8Array(0);
