import { sha256 } from "./hash.ts";

/**
 * Ids: `{prefix}_{ULID}{objectId}`.
 *
 * The first 26 characters after the prefix are a ULID in lower case: 48 bits of Unix milliseconds and 80 random bits, so
 * ids sort by time. The object id, where there is one, is the Durable Object that stores the thing: 256 bits as 52
 * characters. An id thus leads to its object without a look-up.
 *
 * A stateless call is stored in a journal object until its session exists. Call and session share the object id
 * `{ULID}.{journal}`, where `journal` is the object id of that journal.
 *
 * Items of OpenAI's Responses API have ids of their own form, `{prefix}_{objectId}{hash}`; see `deriveItemId`.
 */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"; // Crockford: no i, l, o, u
const TIME_LENGTH = 10;
const STAMP_LENGTH = 26;
const OBJECT_ID = new RegExp(`^[${ALPHABET}]{52}$`);
/** Tells the items of one session apart. */
const ITEM_HASH_LENGTH = 7;
const ITEM_ID = new RegExp(`^[a-z]{1,4}_([${ALPHABET}]{52})[A-Za-z0-9]{${ITEM_HASH_LENGTH}}$`);
const JOURNAL_ENTRY = new RegExp(`^[${ALPHABET}]{26}\\.[${ALPHABET}]{52}$`);

/** Makes an id. `now`: Unix milliseconds. */
export function newId(prefix: string, now: number, objectId = ""): string {
  return `${prefix}_${stamp(now)}${objectId}`;
}

/** Durable Object id (64 hex digits) → object id (52 characters). Five hex digits become four characters. */
export function encodeObjectId(hex: string): string {
  const digits = `0${hex}`;
  let objectId = "";
  for (let i = 0; i < digits.length; i += 5) objectId += encodeBase32(Number.parseInt(digits.slice(i, i + 5), 16), 4);
  return objectId;
}

/** Object id → Durable Object id. Undefined if the text is not an object id of 52 characters. Inverse of `encodeObjectId`. */
export function decodeObjectId(objectId: string): string | undefined {
  if (!OBJECT_ID.test(objectId)) return undefined;
  let digits = "";
  for (let i = 0; i < objectId.length; i += 4)
    digits += decodeBase32(objectId.slice(i, i + 4))
      .toString(16)
      .padStart(5, "0");
  return digits.startsWith("0") ? digits.slice(1) : undefined;
}

/** Makes the id of a call that is stored in this journal. `journal`: the journal's object id. */
export const newJournalId = (prefix: string, now: number, journal: string): string => newId(prefix, now, `.${journal}`);

/** The journal's object id in `{ULID}.{journal}`. Undefined for an object id that names no journal. */
export const journalIn = (objectId: string): string | undefined =>
  JOURNAL_ENTRY.test(objectId) ? objectId.slice(STAMP_LENGTH + 1) : undefined;

/** The object id in an id: 52 characters or `{ULID}.{journal}`. Undefined if the prefix differs or there is no object id. */
export function objectIdIn(prefix: string, id: string): string | undefined {
  if (!id.startsWith(`${prefix}_`)) return undefined;
  const name = id.slice(prefix.length + 1);
  const objectId = JOURNAL_ENTRY.test(name) ? name : name.slice(STAMP_LENGTH);
  return OBJECT_ID.test(objectId) || JOURNAL_ENTRY.test(objectId) ? objectId : undefined;
}

/**
 * The id of an item of OpenAI's Responses API. `owner`: the id of the response, turn or session that has the item.
 * `place`: tells it from the owner's other items. The same arguments give the same id. It contains the owner's object id,
 * so that it leads to its session. OpenAI accepts item ids of up to 64 characters, so a prefix has at most four, and an
 * object id that names a journal is left out.
 */
export function deriveItemId(prefix: string, owner: string, place: string): string {
  const objectId = owner.slice(owner.indexOf("_") + 1).slice(STAMP_LENGTH);
  if (!OBJECT_ID.test(objectId)) return deriveInputId(prefix, owner, place);
  return `${prefix}_${objectId}${hashPlace(owner, place).slice(0, ITEM_HASH_LENGTH)}`;
}

/** The id of an input item: as `deriveItemId`, without the object id. Input is referenced within its session only. */
export const deriveInputId = (prefix: string, owner: string, place: string): string =>
  `${prefix}_${hashPlace(owner, place).slice(0, 32)}`;

const hashPlace = (owner: string, place: string): string => sha256(`${owner} ${place}`).replace(/[-_]/g, "");

/** The object id of the session that has the item. Undefined for an item id that contains none, such as a provider's. */
export const objectIdOfItem = (id: string): string | undefined => ITEM_ID.exec(id)?.[1];

/** A lower bound: no id made at `time` (Unix milliseconds) or later sorts before it. */
export const firstId = (prefix: string, time: number): string => `${prefix}_${encodeBase32(time, TIME_LENGTH)}`;

/** When the id was made, in Unix milliseconds. The id is not validated: the result for any other text is meaningless. */
export const createdAtOf = (id: string): number => {
  const at = id.indexOf("_") + 1;
  return decodeBase32(id.slice(at, at + TIME_LENGTH));
};

/** Matches an id that a client may choose: the prefix, `_`, and 1 to 128 of the characters that are safe in a URL's path. */
export const idPattern = (prefix: string): RegExp => new RegExp(`^${prefix}_[A-Za-z0-9_.:-]{1,128}$`);

/** Replaces the prefix. A call and its turn, run and response share everything but the prefix: `call_x`, `turn_x`. */
export const withPrefix = (id: string, prefix: string): string => prefix + id.slice(id.indexOf("_"));

/** A ULID in lower case. A character holds five bits, so five random bits of each byte are used. */
function stamp(now: number): string {
  const random = crypto.getRandomValues(new Uint8Array(STAMP_LENGTH - TIME_LENGTH));
  return random.reduce((out, byte) => out + ALPHABET[byte % 32]!, encodeBase32(now, TIME_LENGTH));
}

/** `value`: an integer below 2^53, the limit of exact integers. */
function encodeBase32(value: number, length: number): string {
  let out = "";
  for (let rest = value; out.length < length; rest = Math.floor(rest / 32)) out = ALPHABET[rest % 32]! + out;
  return out;
}

const decodeBase32 = (text: string): number =>
  Array.from(text).reduce((value, character) => value * 32 + ALPHABET.indexOf(character), 0);
