import type { Dialect } from "../../canonical/types.ts";
import { type EventCount, isCounted } from "../../session/stream/segments.ts";
import type { EventEditor } from "../../shield/event-editor.ts";
import { concatBytes, encodeUtf8 } from "../../wire/bytes.ts";
import { decodeSse, type SseEvent, withId } from "../../wire/sse.ts";

/**
 * Dialects whose events get their number as SSE `id:`. Not Gemini: Google's client ignores an event whose first line is
 * not `data:` and reads data to the event's end. Not the native dialect: its events contain their number already.
 */
const NUMBERED: ReadonlySet<Dialect> = new Set<Dialect>(["openai-chat", "openai-responses", "anthropic"]);

/**
 * Whether a stream's events get ids: only if bytes may be added to the stream and clients of the dialect accept ids.
 */
export const hasEventIds = (surface: Dialect, mayAdd: boolean): boolean => mayAdd && NUMBERED.has(surface);

/** Counts the events of a stream as the client receives them, from 1, and writes the numbers as ids. */
export class EventNumberer {
  readonly #writesIds: boolean;
  #number: number;
  #blocks = 0;
  #events = 0;

  readonly #editor: EventEditor | undefined;

  /** `writesIds`: add ids to the bytes. `alreadySent`: number of events sent before. `editor`: changes events before they are counted. */
  constructor(
    writesIds: boolean,
    { alreadySent = 0, editor }: { alreadySent?: number; editor?: EventEditor | undefined } = {},
  ) {
    this.#writesIds = writesIds;
    this.#number = alreadySent;
    this.#editor = editor;
  }

  /** Counts one block of the stream and returns its bytes. A block without an event (a comment) gets no number. */
  numberBlock(event: SseEvent): Uint8Array {
    return this.#editor === undefined ? this.#numberOne(event) : this.#edit(event.raw, this.#editor);
  }

  /** What the editor holds back, at the stream's end. */
  flush(): Uint8Array {
    return this.#numberAll(this.#editor?.end() ?? []);
  }

  /** By the bytes: an event that was annotated has others than its data says. */
  #edit(bytes: Uint8Array, editor: EventEditor): Uint8Array {
    return this.#numberAll(decodeSse(bytes).flatMap((event) => editor.push(event)));
  }

  #numberAll(events: readonly SseEvent[]): Uint8Array {
    return concatBytes(events.map((event) => this.#numberOne(event)));
  }

  #numberOne(event: SseEvent): Uint8Array {
    if (event.raw.length === 0) return event.raw;
    this.#blocks++;
    if (!isCounted(event)) return event.raw;
    this.#events++;
    const number = ++this.#number;
    return this.#writesIds ? withId(event, number) : event.raw;
  }

  /** The same for the text of the gateway's encoders: events only, each followed by one empty line. */
  numberEncoded(text: string): Uint8Array {
    if (text === "") return NOTHING;
    const editor = this.#editor;
    if (editor !== undefined) return this.#edit(encodeUtf8(text), editor);
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

  /** Blocks and events counted since the last call. */
  takeCount(): EventCount {
    const count = { blocks: this.#blocks, events: this.#events };
    this.#blocks = 0;
    this.#events = 0;
    return count;
  }
}

const NOTHING = new Uint8Array(0);
