import { concatBytes, decodeUtf8, encodeUtf8 } from "./bytes.ts";

/**
 * Server-sent events (WHATWG HTML, "Parsing an event stream") with their exact bytes: the `raw` of all events, joined, is
 * the stream, independent of how it was split into chunks.
 */
export type SseEvent = {
  /** The event's bytes, with the blank line that ends it. */
  raw: Uint8Array;
  event?: string;
  /** The data lines, joined by a line feed. Absent: a comment, or blank lines. */
  data?: string;
  id?: string;
};

/** Largest event that is buffered. No provider sends one near this size; without a limit an endless event would fill the memory. */
export const MAX_EVENT_BYTES = 16 * 1024 * 1024;

const LF = 0x0a;
const CR = 0x0d;
const BOM = new Uint8Array([0xef, 0xbb, 0xbf]);

/** Splits bytes into events. Lines end in LF, CRLF or CR; multi-byte characters may be split over chunks. */
export class SseSplitter {
  #parts: Uint8Array[] = [];
  #size = 0;
  #isLineEmpty = true;
  /** The last byte was a CR. It may be half of a CRLF, so an event that it ends is cut on the next byte. */
  #isAfterCr = false;
  /** That CR ended a blank line, and thereby an event. */
  #isBlankLineCr = false;
  #isFirst = true;

  /** Whether bytes of an unfinished event are buffered. */
  get isWithinEvent(): boolean {
    return this.#size > 0;
  }

  /** The events that this chunk completes. Throws `RangeError` if an event exceeds `MAX_EVENT_BYTES`. */
  push(chunk: Uint8Array): SseEvent[] {
    const ends = this.#isAfterCr || chunk.includes(CR) ? this.#findEnds(chunk) : this.#findLfEnds(chunk);
    if (ends.length === 0) {
      if (chunk.length > 0) this.#buffer(chunk);
      return [];
    }
    // Decoding a chunk takes little more than decoding one event. Its offsets are those of the bytes if it is all ASCII.
    const text = decodeUtf8(chunk);
    const isAscii = text.length === chunk.length;
    const events: SseEvent[] = [];
    let start = 0;
    for (const end of ends) {
      events.push(this.#complete(chunk.subarray(start, end), isAscii ? text.slice(start, end) : undefined));
      start = end;
    }
    if (start < chunk.length) this.#buffer(chunk.subarray(start));
    return events;
  }

  /** Where the chunk's events end, if all of its lines end in LF. */
  #findLfEnds(chunk: Uint8Array): number[] {
    const ends: number[] = [];
    let line = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, line)) {
      if (end === line && this.#isLineEmpty) ends.push(end + 1);
      this.#isLineEmpty = true;
      line = end + 1;
    }
    if (line < chunk.length) this.#isLineEmpty = false;
    return ends;
  }

  #findEnds(chunk: Uint8Array): number[] {
    const ends: number[] = [];
    const cut = (end: number): void => {
      ends.push(end);
      this.#isLineEmpty = true;
    };
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      if (this.#isAfterCr) {
        this.#isAfterCr = false;
        if (byte === LF) {
          if (this.#isBlankLineCr) cut(i + 1);
          continue;
        }
        if (this.#isBlankLineCr) cut(i);
      }
      if (byte === LF) {
        if (this.#isLineEmpty) cut(i + 1);
        this.#isLineEmpty = true;
      } else if (byte === CR) {
        this.#isAfterCr = true;
        this.#isBlankLineCr = this.#isLineEmpty;
        this.#isLineEmpty = true;
      } else this.#isLineEmpty = false;
    }
    return ends;
  }

  /** To be called at the end of the stream. Returns a last event without a blank line: the providers' SDKs deliver it, too. */
  flush(): SseEvent[] {
    if (this.#size === 0) return [];
    this.#isLineEmpty = true;
    return [this.#complete(new Uint8Array(0), undefined)];
  }

  #buffer(part: Uint8Array): void {
    this.#size += part.length;
    if (this.#size > MAX_EVENT_BYTES) throw new RangeError(`an event of over ${MAX_EVENT_BYTES} bytes`);
    this.#parts.push(part.slice());
  }

  /** `text`: that of the part; absent if it has to be decoded. */
  #complete(part: Uint8Array, text: string | undefined): SseEvent {
    const isWhole = this.#parts.length === 0;
    const raw = isWhole ? part : concatBytes([...this.#parts, part]);
    this.#parts = [];
    this.#size = 0;
    const event = parseEvent(raw, isWhole && text !== undefined ? text : decodeUtf8(raw), this.#isFirst);
    this.#isFirst = false;
    return event;
  }
}

/** Bytes of a complete stream → its events. */
export function decodeSse(bytes: Uint8Array): SseEvent[] {
  const splitter = new SseSplitter();
  return [...splitter.push(bytes), ...splitter.flush()];
}

/** One event → text. `data` may have several lines. */
export function encodeSse({ event, data, id }: Omit<SseEvent, "raw"> & { data: string }): string {
  const lines = data.split("\n").map((line) => `data: ${line}\n`);
  return `${event === undefined ? "" : `event: ${event}\n`}${id === undefined ? "" : `id: ${id}\n`}${lines.join("")}\n`;
}

/** The event's bytes with its data changed and its other lines unchanged. Only for data on one line, as all JSON events have it. */
export function withData(event: SseEvent, change: (data: string) => string): Uint8Array {
  const text = decodeUtf8(event.raw);
  const data = event.data ?? "";
  const at = text.indexOf(data, text.search(/^data:/m) + 1);
  if (data === "" || at < 0) return event.raw;
  return encodeUtf8(text.slice(0, at) + change(data) + text.slice(at + data.length));
}

/** The event's bytes with an `id` line, in place of any that it has. */
export function withId({ raw, id: previousId }: SseEvent, id: number): Uint8Array {
  const line = encodeUtf8(`id: ${id}\n`);
  if (previousId === undefined) {
    const whole = new Uint8Array(line.length + raw.length);
    // A byte order mark must stay the first bytes of the stream.
    const from = raw[0] === BOM[0] && raw[1] === BOM[1] && raw[2] === BOM[2] ? BOM.length : 0;
    whole.set(raw.subarray(0, from));
    whole.set(line, from);
    whole.set(from === 0 ? raw : raw.subarray(from), from + line.length);
    return whole;
  }
  const text = decodeUtf8(raw).replace(/^(\uFEFF?)id(:[^\r\n]*)?(\r\n|\n|\r)/gm, "$1");
  return withId({ raw: encodeUtf8(text) }, id);
}

function parseEvent(raw: Uint8Array, text: string, isFirst: boolean): SseEvent {
  const parsed: SseEvent = { raw };
  const lines = isFirst && text.startsWith("\uFEFF") ? text.slice(1) : text;
  for (const line of lines.includes("\r") ? lines.split(/\r\n|\n|\r/) : lines.split("\n")) {
    if (line === "" || line.startsWith(":")) continue;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") parsed.data = parsed.data === undefined ? value : `${parsed.data}\n${value}`;
    else if (field === "event") parsed.event = value;
    else if (field === "id" && !value.includes("\0")) parsed.id = value;
  }
  return parsed;
}
