import { concatBytes, decodeUtf8, encodeUtf8 } from "./bytes.ts";

/** Where a part's value stands in a form's bytes: `start` inclusive, `end` exclusive. */
export type FormField = { start: number; end: number; value: string };

type State = "body" | "delimiter" | "headers" | "value" | "end";

/** A part's headers, and the value of a field with a name in it. No honest one is near this long. */
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_VALUE_BYTES = 4 * 1024;
const CRLF = "\r\n";

/** The boundary that a `multipart/form-data` type names (RFC 2046: 1 to 70 characters). */
export function boundaryOf(contentType: string): string | undefined {
  const named = /;\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  return named?.[1] ?? named?.[2];
}

/**
 * Finds one field in a form (RFC 7578) that comes in pieces, and reads no further. Keeps only what a boundary cut in two
 * could need; whoever feeds it keeps the bytes.
 */
export class FieldFinder {
  readonly #name: string;
  readonly #delimiter: Uint8Array;
  /** What is still to be looked at, and its place in the form. The first boundary has no line before it: here it has. */
  #pending = encodeUtf8(CRLF);
  #at = -2;
  #state: State = "body";

  constructor(boundary: string, name: string) {
    this.#name = name;
    this.#delimiter = encodeUtf8(`${CRLF}--${boundary}`);
  }

  /** The form has ended, or is none: nothing will be found any more. */
  get isDone(): boolean {
    return this.#state === "end";
  }

  push(chunk: Uint8Array): FormField | undefined {
    this.#pending = concatBytes([this.#pending, chunk]);
    for (;;) {
      const before = this.#state;
      const found = this.#step();
      if (found !== undefined) return found;
      if (this.#state === before) return undefined;
    }
  }

  /** Goes on to the next state, or stays where it is until more has come. */
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
        const isIt = readFieldName(decodeUtf8(this.#pending.subarray(0, end))) === this.#name;
        // The line that ends the headers may be the one that begins the next boundary: an empty value.
        this.#advance(end + 2, isIt ? "value" : "body");
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

/** `name` of a part's Content-Disposition; one inside a quoted file name is none. */
function readFieldName(headers: string): string | undefined {
  const disposition = /(?:^|\r\n)content-disposition:\s*form-data([^\r\n]*)/i.exec(headers)?.[1] ?? "";
  for (const [, key, quoted, bare] of disposition.matchAll(/;\s*([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))/g))
    if (key!.toLowerCase() === "name") return quoted ?? bare;
  return undefined;
}

/** The held bytes with other ones in one place: piece by piece, copied nowhere. */
export function* replaceField(
  held: readonly Uint8Array[],
  { start, end }: FormField,
  value: string,
): Generator<Uint8Array> {
  let at = 0;
  for (const piece of held) {
    yield piece.subarray(0, Math.max(0, start - at));
    if (start >= at && start < at + piece.length) yield encodeUtf8(value);
    yield piece.subarray(Math.max(0, end - at));
    at += piece.length;
  }
}
