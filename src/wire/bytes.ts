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
