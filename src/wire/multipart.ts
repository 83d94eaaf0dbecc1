import { concatBytes, decodeUtf8, encodeUtf8 } from "./bytes.ts";

/** A field of a form: its value and the value's byte range, `start` inclusive, `end` exclusive. */
export type FormField = { start: number; end: number; value: string };

type State = "body" | "delimiter" | "headers" | "value" | "end";

/** Limits for a part's headers and for the searched field's value, far above real ones. Bytes. */
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_VALUE_BYTES = 4 * 1024;
const CRLF = "\r\n";

/** The boundary in a `multipart/form-data` content type (RFC 2046: 1 to 70 characters); undefined if there is none. */
export function boundaryOf(contentType: string): string | undefined {
  const named = /;\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  return named?.[1] ?? named?.[2];
}

/**
 * Finds the first field of a given name in a form (RFC 7578) that arrives in chunks. It buffers only the bytes in which a
 * boundary may have been split; the caller stores the chunks if it needs them.
 */
export class FieldFinder {
  readonly #name: string;
  readonly #delimiter: Uint8Array;
  /**
   * Bytes that are not scanned yet, and their offset in the form. The first boundary has no line break before it, so one
   * is added in front: the offset starts at -2.
   */
  #pending = encodeUtf8(CRLF);
  #at = -2;
  #state: State = "body";

  constructor(boundary: string, name: string) {
    this.#name = name;
    this.#delimiter = encodeUtf8(`${CRLF}--${boundary}`);
  }

  /** The form has ended or is malformed: the field cannot be found any more. */
  get isDone(): boolean {
    return this.#state === "end";
  }

  /** Scans the next chunk. Returns the field once its value is complete. */
  push(chunk: Uint8Array): FormField | undefined {
    this.#pending = concatBytes([this.#pending, chunk]);
    for (;;) {
      const before = this.#state;
      const found = this.#step();
      if (found !== undefined) return found;
      if (this.#state === before) return undefined;
    }
  }

  /** Moves to the next state, or stays in this one until more bytes arrive. */
  #step(): FormField | undefined {
    switch (this.#state) {
      case "body": {
        const at = this.#find(this.#delimiter);
        if (at >= 0) this.#advance(at + this.#delimiter.length, "delimiter");
        else this.#advance(Math.max(0, this.#pending.length - this.#delimiter.length + 1), "body");
        return undefined;
      }
      case "delimiter": {
        if (this.#pending.length < 2) return undefined;
        const line = this.#find(LINE_END);
        if (decodeUtf8(this.#pending.subarray(0, 2)) === "--") this.#state = "end";
        else if (line >= 0) this.#advance(line, "headers");
        else this.#giveUpAbove(MAX_HEADER_BYTES);
        return undefined;
      }
      case "headers": {
        const end = this.#find(HEADERS_END);
        if (end < 0) return this.#giveUpAbove(MAX_HEADER_BYTES);
        const isField = readFieldName(decodeUtf8(this.#pending.subarray(0, end))) === this.#name;
        // Only one of the two line breaks is consumed: for an empty value the other one belongs to the next boundary.
        this.#advance(end + 2, isField ? "value" : "body");
        return undefined;
      }
      case "value": {
        const end = this.#find(this.#delimiter);
        if (end < 0) return this.#giveUpAbove(MAX_VALUE_BYTES);
        const value = decodeUtf8(this.#pending.subarray(2, Math.max(2, end)));
        return { start: this.#at + 2, end: this.#at + Math.max(2, end), value };
      }
      case "end":
        return undefined;
    }
  }

  #find(bytes: Uint8Array): number {
    const { buffer, byteOffset, length } = this.#pending;
    return Buffer.from(buffer, byteOffset, length).indexOf(bytes);
  }

  #advance(count: number, state: State): void {
    this.#pending = this.#pending.subarray(count);
    this.#at += count;
    this.#state = state;
  }

  #giveUpAbove(limit: number): undefined {
    if (this.#pending.length > limit) this.#state = "end";
  }
}

const LINE_END = encodeUtf8(CRLF);
const HEADERS_END = encodeUtf8(CRLF + CRLF);

/** `name` in a part's Content-Disposition. A `name=` inside a quoted file name is ignored. */
function readFieldName(headers: string): string | undefined {
  const disposition = /(?:^|\r\n)content-disposition:\s*form-data([^\r\n]*)/i.exec(headers)?.[1] ?? "";
  for (const [, key, quoted, bare] of disposition.matchAll(/;\s*([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))/g))
    if (key!.toLowerCase() === "name") return quoted ?? bare;
  return undefined;
}

/** The form's chunks with the field's value replaced. Yields views of the chunks, without copying them. */
export function* replaceField(
  chunks: readonly Uint8Array[],
  { start, end }: FormField,
  value: string,
): Generator<Uint8Array> {
  let at = 0;
  for (const chunk of chunks) {
    yield chunk.subarray(0, Math.max(0, start - at));
    if (start >= at && start < at + chunk.length) yield encodeUtf8(value);
    yield chunk.subarray(Math.max(0, end - at));
    at += chunk.length;
  }
}
