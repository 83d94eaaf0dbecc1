import type { GatewayError } from "../canonical/error.ts";
import type { StreamEvent } from "../canonical/types.ts";
import type { Reply, StreamEncoder, StreamUsage, WireDialect } from "../dialects/dialect.ts";
import { concatBytes, encodeUtf8 } from "../wire/bytes.ts";
import { decodeSse, type SseEvent } from "../wire/sse.ts";
import { annotateEvent, carriesLast } from "./annotate.ts";

/** What a client hears of a stream: bytes now, and the end only when the turn is durable. */
export interface Telling {
  /** `decoded`: what the event means; `isFinishing`: the provider has finished its answer. */
  push(event: SseEvent, decoded: readonly StreamEvent[], isFinishing: boolean): Uint8Array;
  /** The end that was held back, with the finished call's `rhone` object. */
  end(rhone: object): Uint8Array;
  fail(error: GatewayError): Uint8Array;
}

/**
 * `rhone`: the object for the stream's first event; absent when the client wants its stream untouched. `hides`: the
 * event that the client did not ask for.
 */
type Options = { surface: WireDialect; reply: Reply; rhone?: object; hides?: StreamUsage["isItsEvent"] | undefined };

/** The provider's own bytes, event by event; only the end is held back. */
export class RelayedTelling implements Telling {
  readonly #options: Options;
  readonly #held: SseEvent[] = [];
  #hasBegun = false;
  #hasToldError = false;

  constructor(options: Options) {
    this.#options = options;
  }

  push(event: SseEvent, decoded: readonly StreamEvent[], isFinishing: boolean): Uint8Array {
    const error = decoded.find((one) => one.type === "error")?.error;
    // What is no event of this wire at all is not passed on: `fail` says what is wrong with it.
    if (error !== undefined && error.upstream === undefined) return NOTHING;
    if (error !== undefined) this.#hasToldError = true;
    if (this.#options.hides?.(event)) return NOTHING;
    if (isFinishing) {
      this.#held.push(event);
      return NOTHING;
    }
    return this.#begin(event);
  }

  end(rhone: object): Uint8Array {
    const { surface, rhone: isAnnotated } = this.#options;
    const last = isAnnotated === undefined ? -1 : this.#held.findLastIndex((event) => carriesLast(surface.id, event));
    return concatBytes(
      this.#held.map((event, i) => (i === last ? annotateEvent(surface.id, event, rhone) : event.raw)),
    );
  }

  fail(error: GatewayError): Uint8Array {
    // The end that was held back is not said: it would tell of a success.
    if (this.#hasToldError) return concatBytes(this.#held.map(({ raw }) => raw));
    const { surface, reply } = this.#options;
    return encodeUtf8(surface.encodeStream(reply).push({ type: "error", error }));
  }

  #begin(event: SseEvent): Uint8Array {
    if (this.#hasBegun || event.data === undefined) return event.raw;
    this.#hasBegun = true;
    const { surface, rhone } = this.#options;
    return rhone === undefined ? event.raw : annotateEvent(surface.id, event, rhone);
  }
}

/** The same in the words of another wire. */
export class TranslatedTelling implements Telling {
  readonly #options: Options;
  readonly #encoder: StreamEncoder;
  readonly #held: StreamEvent[] = [];
  #hasBegun = false;

  constructor(options: Options) {
    this.#options = options;
    this.#encoder = options.surface.encodeStream(options.reply);
  }

  push(_event: SseEvent, decoded: readonly StreamEvent[]): Uint8Array {
    const text = decoded
      .filter(({ type }) => type !== "error" && type !== "end")
      .map((event) => this.#encoder.push(event));
    this.#held.push(...decoded.filter(({ type }) => type === "end"));
    const { surface, rhone } = this.#options;
    const bytes = encodeUtf8(text.join(""));
    if (this.#hasBegun || bytes.length === 0 || rhone === undefined) return bytes;
    this.#hasBegun = true;
    return concatBytes(
      decodeSse(bytes).map((event, i) => (i === 0 ? annotateEvent(surface.id, event, rhone) : event.raw)),
    );
  }

  end(rhone: object): Uint8Array {
    const events = decodeSse(encodeUtf8(this.#held.map((event) => this.#encoder.push(event)).join("")));
    const { surface, rhone: isAnnotated } = this.#options;
    const last = isAnnotated === undefined ? -1 : events.findLastIndex((event) => carriesLast(surface.id, event));
    return concatBytes(events.map((event, i) => (i === last ? annotateEvent(surface.id, event, rhone) : event.raw)));
  }

  fail(error: GatewayError): Uint8Array {
    return encodeUtf8(this.#encoder.push({ type: "error", error }));
  }
}

const NOTHING = new Uint8Array(0);
