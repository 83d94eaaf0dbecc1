import type { Dialect } from "../../canonical/types.ts";
import { type EventCount, isCounted } from "../../session/stream/segments.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
import { type SseEvent, withId } from "../../wire/sse.ts";

/**
 * The wires whose events get their number as `id:`. Google's own client takes an event whose first line is not its
 * data for none, and reads data to the event's end; events of ours have their number already.
 */
const NUMBERED: ReadonlySet<Dialect> = new Set<Dialect>(["openai-chat", "openai-responses", "anthropic"]);

/** Whether a stream's events say their numbers: where it may be added to at all, and its clients bear it. */
export const hasEventIds = (surface: Dialect, mayAdd: boolean): boolean => mayAdd && NUMBERED.has(surface);

/** Numbers the events of a stream as its client is told them, from 1. */
export class EventNumberer {
  readonly #writesIds: boolean;
  #number: number;
  #blocks = 0;
  #events = 0;

  /** `says`: the numbers are told, too. `told`: how many events have been told already. */
  constructor(writesIds: boolean, alreadySent = 0) {
    this.#writesIds = writesIds;
    this.#number = alreadySent;
  }

  /** One block, which may be no event at all. */
  numberBlock(event: SseEvent): Uint8Array {
    if (event.raw.length === 0) return event.raw;
    this.#blocks++;
    if (!isCounted(event)) return event.raw;
    this.#events++;
    const number = ++this.#number;
    return this.#writesIds ? withId(event, number) : event.raw;
  }

  /** Events of an encoder of ours: no comments, one empty line behind each, none within. */
  numberEncoded(text: string): Uint8Array {
    if (text === "") return NOTHING;
    const events = text.split("\n\n");
    events.pop();
    this.#blocks += events.length;
    this.#events += events.length;
    if (!this.#writesIds) {
      this.#number += events.length;
      return encodeUtf8(text);
    }
    let numbered = "";
    for (const event of events) numbered += `id: ${++this.#number}\n${event}\n\n`;
    return encodeUtf8(numbered);
  }

  /** What has been counted since it was taken last. */
  takeCount(): EventCount {
    const count = { blocks: this.#blocks, events: this.#events };
    this.#blocks = 0;
    this.#events = 0;
    return count;
  }
}

const NOTHING = new Uint8Array(0);
