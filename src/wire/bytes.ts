const encoder = new TextEncoder();
// ignoreBOM: a byte order mark is a character like any other here; who must not see it takes it off.
const lenient = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

export const encodeUtf8 = (text: string): Uint8Array => encoder.encode(text);

/** Bytes → text; what is no UTF-8 becomes U+FFFD. For reading along, never for bytes that are passed on. */
export const decodeUtf8 = (bytes: Uint8Array): string => lenient.decode(bytes);

/** Bytes → text without its byte order mark; undefined when they are no UTF-8. */
export function decodeUtf8Strictly(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

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

/** Between an object and a Worker a value may have 32 MiB, and a text takes up to two bytes a character. */
const MAX_STRING_LENGTH = 4 * 1024 * 1024;

/** A text on its way to an object: as it is, or, where it is too much for that, as its bytes. */
export const toRpcText = (text: string): string | ReadableStream<Uint8Array> =>
  text.length <= MAX_STRING_LENGTH ? text : new Response(text).body!;

/** A text that crossed as what it is, or as its bytes. */
export const readRpcText = async (text: string | ReadableStream<Uint8Array>): Promise<string> =>
  typeof text === "string" ? text : await new Response(text).text();

/** What comes piece by piece, as a stream of bytes that makes the next piece when it is asked for. */
export function toByteStream(pieces: AsyncGenerator<string | Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    type: "bytes",
    async pull(controller) {
      const { value, done } = await pieces.next();
      if (done !== true) return controller.enqueue(typeof value === "string" ? encodeUtf8(value) : value);
      controller.close();
      controller.byobRequest?.respond(0);
    },
    async cancel() {
      await pieces.return(undefined);
    },
  });
}

/** The lines of a stream, without the empty ones. */
export async function* readLines(bytes: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines.filter((line) => line !== "");
  }
  if (rest !== "") yield rest;
}
