const encoder = new TextEncoder();
// `ignoreBOM: true` leaves a byte order mark in the text, so that decoding and encoding gives the same bytes.
const lenient = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

export const encodeUtf8 = (text: string): Uint8Array => encoder.encode(text);

/** Bytes → text; invalid UTF-8 becomes U+FFFD. For inspecting bytes only: bytes that are forwarded must not go through it. */
export const decodeUtf8 = (bytes: Uint8Array): string => lenient.decode(bytes);

/** Bytes → text without a byte order mark; undefined if the bytes are not valid UTF-8. */
export function decodeUtf8Strictly(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** The bytes without a byte order mark at their start. */
export const withoutBom = (bytes: Uint8Array): Uint8Array =>
  bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;

/** Joins byte arrays. A single one is returned as it is, not copied. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * Longest text that is passed by value between a Worker and a Durable Object, in UTF-16 code units. The platform limits an
 * RPC message to 32 MiB and serialises a code unit as up to two bytes; one message may hold several texts.
 */
const MAX_STRING_LENGTH = 4 * 1024 * 1024;

/** Text → RPC argument: the text itself, or a stream of its UTF-8 bytes if it is too long to be passed by value. */
export const toRpcText = (text: string): string | ReadableStream<Uint8Array> =>
  text.length <= MAX_STRING_LENGTH ? text : new Response(text).body!;

/** RPC argument → text. Inverse of `toRpcText`. */
export const readRpcText = async (text: string | ReadableStream<Uint8Array>): Promise<string> =>
  typeof text === "string" ? text : await new Response(text).text();

/** Turns a generator into a byte stream. The generator runs only when the stream is read, and is closed on cancellation. */
export function toByteStream(chunks: AsyncGenerator<string | Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    type: "bytes",
    async pull(controller) {
      const { value, done } = await chunks.next();
      if (done !== true) return controller.enqueue(typeof value === "string" ? encodeUtf8(value) : value);
      controller.close();
      controller.byobRequest?.respond(0);
    },
    async cancel() {
      await chunks.return(undefined);
    },
  });
}

/** Reads a UTF-8 stream line by line (LF), skipping empty lines. The last line needs no line feed. */
export async function* readLines(bytes: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines.filter((line) => line !== "");
  }
  if (rest !== "") yield rest;
}
