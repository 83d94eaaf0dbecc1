/**
 * Ids: `{prefix}_{time and chance}{place}`.
 *
 * The first 26 characters after the prefix are a ULID in lower case: 48 bits of milliseconds, 80 bits of chance, so
 * ids sort by time. The place, where there is one, names the Durable Object that holds what the id stands for: 256
 * bits as 52 characters. Whoever has an id can go to its object without asking a directory.
 *
 * A session that a stateless call began is named after the call and the journal that the call stands in:
 * `sess_{time and chance}.{journal}`. Without its prefix that is the place of all that is in the session.
 */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"; // Crockford: no i, l, o, u
const TIME_LENGTH = 10;
const STAMP_LENGTH = 26;
const OBJECT_ID = new RegExp(`^[${ALPHABET}]{52}$`);
const JOURNAL_ENTRY = new RegExp(`^[${ALPHABET}]{26}\\.[${ALPHABET}]{52}$`);

export function newId(prefix: string, now: number, place = ""): string {
  return `${prefix}_${stamp(now)}${place}`;
}

/** A Durable Object's id (64 hex digits) as it stands in our ids: every five digits are four characters. */
export function encodeObjectId(hex: string): string {
  const digits = `0${hex}`;
  let place = "";
  for (let i = 0; i < digits.length; i += 5) place += encodeBase32(Number.parseInt(digits.slice(i, i + 5), 16), 4);
  return place;
}

/** The inverse: undefined when the text is no place. */
export function decodeObjectId(place: string): string | undefined {
  if (!OBJECT_ID.test(place)) return undefined;
  let digits = "";
  for (let i = 0; i < place.length; i += 4)
    digits += decodeBase32(place.slice(i, i + 4))
      .toString(16)
      .padStart(5, "0");
  return digits.startsWith("0") ? digits.slice(1) : undefined;
}

/** The id of a call that stands in this journal and begins a session of its own. */
export const newJournalId = (prefix: string, now: number, journal: string): string => newId(prefix, now, `.${journal}`);

/** The journal that a place names in which a stateless call has begun it; undefined for every other place. */
export const journalIn = (place: string): string | undefined =>
  JOURNAL_ENTRY.test(place) ? place.slice(STAMP_LENGTH + 1) : undefined;

/** The place in an id with that prefix; undefined when the text is no such id. */
export function objectIdIn(prefix: string, id: string): string | undefined {
  if (!id.startsWith(`${prefix}_`)) return undefined;
  const name = id.slice(prefix.length + 1);
  const place = JOURNAL_ENTRY.test(name) ? name : name.slice(STAMP_LENGTH);
  return OBJECT_ID.test(place) || JOURNAL_ENTRY.test(place) ? place : undefined;
}

/** No id that is minted from then on sorts before it. */
export const firstId = (prefix: string, time: number): string => `${prefix}_${encodeBase32(time, TIME_LENGTH)}`;

/** When an id was minted, in Unix milliseconds; of a text that is none, whatever its letters come to. */
export const createdAtOf = (id: string): number => {
  const at = id.indexOf("_") + 1;
  return decodeBase32(id.slice(at, at + TIME_LENGTH));
};

/** Matches an id that a client may choose: the prefix, `_`, and 1 to 128 of the characters that are safe in a URL's path. */
export const idPattern = (prefix: string): RegExp => new RegExp(`^${prefix}_[A-Za-z0-9_.:-]{1,128}$`);

/** The same thing under another prefix: `call_x` and `turn_x` are two sides of one event. */
export const withPrefix = (id: string, prefix: string): string => prefix + id.slice(id.indexOf("_"));

/** Five bits of each byte are as much chance as a character holds. */
function stamp(now: number): string {
  const chance = crypto.getRandomValues(new Uint8Array(STAMP_LENGTH - TIME_LENGTH));
  return chance.reduce((out, byte) => out + ALPHABET[byte % 32]!, encodeBase32(now, TIME_LENGTH));
}

/** `value`: whole, and below 2^53, up to where numbers are exact. */
function encodeBase32(value: number, length: number): string {
  let out = "";
  for (let rest = value; out.length < length; rest = Math.floor(rest / 32)) out = ALPHABET[rest % 32]! + out;
  return out;
}

const decodeBase32 = (text: string): number =>
  Array.from(text).reduce((value, character) => value * 32 + ALPHABET.indexOf(character), 0);
