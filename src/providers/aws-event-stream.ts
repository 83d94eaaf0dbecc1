import { concatBytes, decodeUtf8 } from "../wire/bytes.ts";

/**
 * A frame of AWS's binary event stream (`application/vnd.amazon.eventstream`; Smithy specification: Amazon event stream).
 * Its bytes: total length, length of the headers, CRC-32 of those 8 bytes, headers, payload, CRC-32 of everything before;
 * numbers are big-endian.
 */
export type AwsEventFrame = { headers: Record<string, string>; payload: Uint8Array };

/** Bytes before the headers (two lengths and their CRC), and after the payload (the CRC of the frame). */
const PRELUDE = 12;
const TRAILER = 4;
/** AWS limits a payload to 24 MiB; the rest is for headers. No model sends an event near this size. */
const MAX_AWS_FRAME_BYTES = 25 * 1024 * 1024;

/** Splits bytes into frames, independent of how they are chunked. Throws `RangeError` if the bytes are not an event stream. */
export class FrameSplitter {
  #pending: Uint8Array = new Uint8Array(0);

  /** The frames that this chunk completes. */
  push(chunk: Uint8Array): AwsEventFrame[] {
    let bytes = this.#pending.length === 0 ? chunk : concatBytes([this.#pending, chunk]);
    const frames: AwsEventFrame[] = [];
    for (let size = readFrameSize(bytes); size !== undefined && bytes.length >= size; size = readFrameSize(bytes)) {
      frames.push(decodeFrame(bytes.subarray(0, size)));
      bytes = bytes.subarray(size);
    }
    // A copy: the reader may reuse the chunk's buffer.
    this.#pending = bytes.slice();
    return frames;
  }

  /** To be called at the end of the stream. Throws `RangeError` if it ended within a frame. */
  end(): void {
    if (this.#pending.length > 0) throw new RangeError("the event stream ended within a frame");
  }
}

/** One whole frame → its headers and payload. Throws `RangeError` if it is damaged. */
export function decodeFrame(frame: Uint8Array): AwsEventFrame {
  const view = viewOf(frame);
  const end = frame.length - TRAILER;
  const headersEnd = PRELUDE + view.getUint32(4);
  if (headersEnd > end) throw new RangeError("an event stream's headers are longer than their frame");
  if (crc32(frame.subarray(0, end)) !== view.getUint32(end)) throw new RangeError("an event stream's frame is damaged");
  return { headers: decodeHeaders(frame.subarray(PRELUDE, headersEnd)), payload: frame.subarray(headersEnd, end) };
}

/** Headers and payload → a frame. Headers are encoded as strings: Bedrock sends no other type. Inverse of `decodeFrame`. */
export function encodeFrame({ headers, payload }: AwsEventFrame): Uint8Array {
  const head = concatBytes(Object.entries(headers).map(([name, value]) => encodeHeader(name, value)));
  const frame = new Uint8Array(PRELUDE + head.length + payload.length + TRAILER);
  const view = viewOf(frame);
  view.setUint32(0, frame.length);
  view.setUint32(4, head.length);
  view.setUint32(8, crc32(frame.subarray(0, 8)));
  frame.set(head, PRELUDE);
  frame.set(payload, PRELUDE + head.length);
  view.setUint32(frame.length - TRAILER, crc32(frame.subarray(0, frame.length - TRAILER)));
  return frame;
}

/** Total length of the frame in bytes; undefined while the prelude is incomplete. Throws `RangeError` if the prelude is damaged. */
function readFrameSize(bytes: Uint8Array): number | undefined {
  if (bytes.length < PRELUDE) return undefined;
  const view = viewOf(bytes);
  if (crc32(bytes.subarray(0, 8)) !== view.getUint32(8)) throw new RangeError("these bytes are no event stream");
  const size = view.getUint32(0);
  if (size < PRELUDE + TRAILER || size > MAX_AWS_FRAME_BYTES)
    throw new RangeError(`an event stream's frame has the invalid size of ${size} bytes`);
  return size;
}

/** Header type: string. */
const TEXT = 7;
/**
 * Bytes of a header's value by type: true, false, byte, short, integer, long, byte array, string, timestamp, UUID.
 * Undefined: the value is preceded by its length.
 */
const VALUE_BYTES: readonly (number | undefined)[] = [0, 0, 1, 2, 4, 8, undefined, undefined, 8, 16];

/** Headers of type string; values of other types are skipped. */
function decodeHeaders(bytes: Uint8Array): Record<string, string> {
  const view = viewOf(bytes);
  const headers: Record<string, string> = {};
  for (let at = 0; at < bytes.length;) {
    const name = decodeUtf8(bytes.subarray(at + 1, at + 1 + bytes[at]!));
    at += 1 + bytes[at]!;
    const type = bytes[at++]!;
    if (type >= VALUE_BYTES.length) throw new RangeError(`an event stream's header has the unknown type ${type}`);
    let size = VALUE_BYTES[type];
    if (size === undefined) {
      size = view.getUint16(at);
      at += 2;
    }
    if (type === TEXT) headers[name] = decodeUtf8(bytes.subarray(at, at + size));
    at += size;
  }
  return headers;
}

function encodeHeader(name: string, value: string): Uint8Array {
  const [key, text] = [new TextEncoder().encode(name), new TextEncoder().encode(value)];
  return concatBytes([Uint8Array.of(key.length), key, Uint8Array.of(TEXT, text.length >> 8, text.length & 0xff), text]);
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);

/** CRC-32 of ISO 3309, as in gzip. The table is built on first use. */
function crc32(bytes: Uint8Array): number {
  const table = (crcTable ??= Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    return crc;
  }));
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

let crcTable: Uint32Array | undefined;
