/**
 * Ids: `{prefix}_{time and chance}{place}`.
 *
 * The first 26 characters after the prefix are a ULID in lower case: 48 bits of milliseconds, 80 bits of chance, so
 * ids sort by time. The place, where there is one, names the Durable Object that holds what the id stands for: 256
 * bits as 52 characters. Whoever has an id can go to its object without asking a directory.
 */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"; // Crockford: no i, l, o, u
const STAMP_LENGTH = 26;
const PLACE = new RegExp(`^[${ALPHABET}]{52}$`);

export function mint(prefix: string, now: number, place = ""): string {
  return `${prefix}_${stamp(now)}${place}`;
}

/** A Durable Object's id (64 hex digits) as it stands in our ids. */
export const placeOfHex = (hex: string): string => encodeBase32(BigInt(`0x${hex}`), 52);

/** The inverse: undefined when the text is no place. */
export function hexOfPlace(place: string): string | undefined {
  if (!PLACE.test(place)) return undefined;
  const hex = decodeBase32(place).toString(16).padStart(64, "0");
  return hex.length === 64 ? hex : undefined;
}

/** The place in an id with that prefix; undefined when the text is no such id. */
export function placeOf(prefix: string, id: string): string | undefined {
  const place = id.slice(prefix.length + 1 + STAMP_LENGTH);
  return id.startsWith(`${prefix}_`) && PLACE.test(place) ? place : undefined;
}

/** When an id was minted, in Unix milliseconds; of a text that is none, whatever its letters come to. */
export const mintedAt = (id: string): number => {
  const at = id.indexOf("_") + 1;
  return Number(decodeBase32(id.slice(at, at + 10)));
};

/** The same thing under another prefix: `call_x` and `turn_x` are two sides of one event. */
export const renamed = (id: string, prefix: string): string => prefix + id.slice(id.indexOf("_"));

function stamp(now: number): string {
  const chance = crypto.getRandomValues(new Uint8Array(10));
  return encodeBase32(BigInt(now), 10) + encodeBase32(bigintOf(chance), 16);
}

const bigintOf = (bytes: Uint8Array): bigint => bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);

function encodeBase32(value: bigint, length: number): string {
  let out = "";
  for (let i = 0; i < length; i++, value >>= 5n) out = ALPHABET[Number(value & 31n)]! + out;
  return out;
}

function decodeBase32(text: string): bigint {
  let value = 0n;
  for (const character of text) value = (value << 5n) | BigInt(ALPHABET.indexOf(character));
  return value;
}
