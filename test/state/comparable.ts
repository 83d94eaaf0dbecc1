import { createHash } from "node:crypto";
import type { Json } from "../../src/wire/json.ts";
import { isObject } from "./answers.ts";

/**
 * Ids of output items that no provider gave: 32 hexadecimal characters of a hash until 2026-11-29, since then with the
 * object id of their session (docs/decisions/2026-11-29-item-ids.md).
 */
const DERIVED_ITEM = /\b(msg|rs|fc|ctc|ig|it)_([0-9a-f]{32}|[0-9a-hjkmnp-tv-z]{52}[A-Za-z0-9]{7})(?![A-Za-z0-9])/g;

/** The value with ids that are derived in another way today replaced by a word. */
export const withoutDerivedIds = (value: Json): Json =>
  JSON.parse(JSON.stringify(value).replace(DERIVED_ITEM, "$1_derived")) as Json;

/** The value without scopes that keys of that time have got since: they may do what they could do before a scope for it existed. */
export const withoutLaterScopes = (value: Json): Json =>
  JSON.parse(JSON.stringify(value).replaceAll(/,"runs:(?:read|write)"/g, "")) as Json;

/** Durations differ from run to run, and error texts may change. */
const VOLATILE = new Set(["latency_ms", "ms", "message"]);

const ID = /\b([a-z]+)_([0-9a-hjkmnp-tv-z]{10})[0-9a-hjkmnp-tv-z]{16}[0-9a-hjkmnp-tv-z.]*/g;

const TIME = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g;

/** The value with everything that came into being after `writtenAt` replaced by a word. */
export function stable(value: Json, writtenAt: number): Json {
  if (typeof value === "string")
    return value
      .replace(ID, (id, prefix: string, time: string) => (isAfter(timeIn(time), writtenAt) ? `${prefix}_new` : id))
      .replace(TIME, (time) => (isAfter(Date.parse(time), writtenAt) ? "a later time" : time));
  // Unix seconds, as OpenAI writes them.
  if (typeof value === "number") return value * 1000 > writtenAt && value * 1000 < FAR ? "a later time" : value;
  if (Array.isArray(value)) return value.map((item) => stable(item, writtenAt));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, member]) => !VOLATILE.has(key) || (key === "message" && isObject(member)))
      .map(([key, member]) => [key, stable(member, writtenAt)]),
  );
}

/** Ids begin with their time: 48 bits of milliseconds in Crockford's base 32. */
const timeIn = (digits: string): number =>
  Array.from(digits).reduce((time, digit) => time * 32 + "0123456789abcdefghjkmnpqrstvwxyz".indexOf(digit), 0);

/** Times from here on were given by the scenario: they are ends of keys. */
const FAR = Date.parse("2034-01-01");

const isAfter = (time: number, writtenAt: number): boolean => time > writtenAt && time < FAR;

/** Large texts are compared by their length and hash. */
export const shortened = (value: Json): Json => {
  if (typeof value === "string")
    return value.length > 4_000
      ? `${value.length} characters, ${createHash("sha256").update(value).digest("base64url")}`
      : value;
  if (Array.isArray(value)) return value.map(shortened);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, shortened(member)]));
};
