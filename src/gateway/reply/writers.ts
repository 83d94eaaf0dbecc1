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
  usage(): EventCount;
}

/**
 * `rhone`: the object for the stream's first event; absent when the client wants its stream untouched. `hides`: the
 * event that the client did not ask for.
 */
type Options = {
  surface: WireDialect;
  reply: ReplyContext;
  rhone?: object;
  hides?: StreamUsage["isItsEvent"] | undefined;
};

/** The provider's own bytes, event by event; only the end is held back. */
export class RelayWriter implements EventWriter {
  readonly #options: Options;
  readonly #tally: EventNumberer;
  readonly #held: SseEvent[] = [];
  #hasBegun = false;
  #hasToldError = false;

  constructor(options: Options) {
    this.#options = options;
    this.#tally = tallyOf(options);
  }

  usage(): EventCount {
    return this.#tally.take();
  }

  push(event: SseEvent, decoded: readonly StreamEvent[], isFinishing: boolean): Uint8Array {
    const error = decoded.find((one) => one.type === "error")?.error;
    // What is no event of this wire at all is not passed on: `fail` says what is wrong with it.
    if (error !== undefined && error.upstream === undefined) return NOTHING;
    if (error !== undefined) this.#hasToldError = true;
    if (this.#options.hides?.(event)) return NOTHING;
    const whole = this.#completed(event);
    if (isFinishing) {
      this.#held.push(whole);
      return NOTHING;
    }
    return this.#begin(whole);
  }

  end(rhone: object): Uint8Array {
    const { surface, rhone: isAnnotated } = this.#options;
    const last =
      isAnnotated === undefined ? -1 : this.#held.findLastIndex((event) => isAnnotatedEnd(surface.id, event));
    return concatBytes(
      this.#held.map((event, i) =>
        this.#tally.block(i === last ? { ...event, raw: annotateEvent(surface.id, event, rhone) } : event),
      ),
    );
  }

  fail(error: GatewayError): Uint8Array {
    // The end that was held back is not said: it would tell of a success.
    if (this.#hasToldError) return concatBytes(this.#held.map((event) => this.#tally.block(event)));
    const { surface, reply } = this.#options;
    return this.#tally.encoded(surface.encodeStream(reply).push({ type: "error", error }));
  }

  #completed(event: SseEvent): SseEvent {
    const { surface, reply, rhone } = this.#options;
    return rhone === undefined ? event : addRequiredMembers(surface, event, reply);
  }

  #begin(event: SseEvent): Uint8Array {
    if (this.#hasBegun || event.data === undefined) return this.#tally.block(event);
    this.#hasBegun = true;
    const { surface, rhone } = this.#options;
    return this.#tally.block(rhone === undefined ? event : { ...event, raw: annotateEvent(surface.id, event, rhone) });
  }
}

/** The same in the words of another wire. */
export class TranslationWriter implements EventWriter {
  readonly #options: Options;
  readonly #tally: EventNumberer;
  readonly #encoder: StreamEncoder;
  readonly #held: StreamEvent[] = [];
  #hasBegun = false;

  constructor(options: Options) {
    this.#options = options;
    this.#tally = tallyOf(options);
    this.#encoder = options.surface.encodeStream(options.reply);
  }

  usage(): EventCount {
    return this.#tally.take();
  }

  push(_event: SseEvent, decoded: readonly StreamEvent[]): Uint8Array {
    const text = decoded
      .filter(({ type }) => type !== "error" && type !== "end")
      .map((event) => this.#encoder.push(event));
    this.#held.push(...decoded.filter(({ type }) => type === "end"));
    const { rhone } = this.#options;
    const said = text.join("");
    if (this.#hasBegun || said === "" || rhone === undefined) return this.#tally.encoded(said);
    this.#hasBegun = true;
    return this.#annotated(said, rhone, () => 0);
  }

  /** What a client knows already, in its own words: nothing of it is said again. `last`: the event it was told last. */
  resumeAfter(told: readonly StreamEvent[], last: SseEvent | undefined): void {
    for (const event of told) this.#encoder.push(event);
    if (last !== undefined) this.#encoder.resumeAfter?.(last);
    this.#hasBegun = true;
  }

  end(rhone: object): Uint8Array {
    const text = this.#held.map((event) => this.#encoder.push(event)).join("");
    const { surface, rhone: isAnnotated } = this.#options;
    if (isAnnotated === undefined) return this.#tally.encoded(text);
    return this.#annotated(text, rhone, (events) => events.findLastIndex((event) => isAnnotatedEnd(surface.id, event)));
  }

  fail(error: GatewayError): Uint8Array {
    return this.#tally.encoded(this.#encoder.push({ type: "error", error }));
  }

  #annotated(text: string, rhone: object, which: (events: readonly SseEvent[]) => number): Uint8Array {
    const { surface } = this.#options;
    const events = decodeSse(encodeUtf8(text));
    const at = which(events);
    return concatBytes(
      events.map((event, i) =>
        this.#tally.block(i === at ? { ...event, raw: annotateEvent(surface.id, event, rhone) } : event),
      ),
    );
  }
}

/** A stream that may be annotated may be numbered. */
const tallyOf = ({ surface, rhone }: Options): EventNumberer =>
  new EventNumberer(hasEventIds(surface.id, rhone !== undefined));

const NOTHING = new Uint8Array(0);
