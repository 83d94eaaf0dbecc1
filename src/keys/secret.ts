import { randomBytes } from "node:crypto";
import { sha256 } from "../wire/hash.ts";

/**
 * `rhone_sk_{object id}{256 bits}`. The id of the key's object lets a secret be checked without an index; it is not
 * secret, and part of the key's id as well.
 */
const SECRET = /^rhone_sk_([0-9a-hjkmnp-tv-z]{52})([A-Za-z0-9_-]{43})$/;

/** A new secret of the key whose object has this id (52 characters; wire/id.ts). */
export const newSecret = (objectId: string): string => `rhone_sk_${objectId}${randomBytes(32).toString("base64url")}`;

/** The object id in a secret; undefined if the text has not the form of a secret. */
export const objectIdInSecret = (text: string): string | undefined => SECRET.exec(text)?.[1];

/**
 * The SHA-256 of a secret, which is all that is stored of it. No salt: 256 random bits cannot be guessed. Digests of recent
 * secrets are cached; a timing difference would show only that a secret was used lately, since access is decided by the
 * digest.
 */
export function digestOf(secret: string): string {
  const cached = DIGESTS.get(secret);
  if (cached !== undefined) return cached;
  if (DIGESTS.size >= MAX_DIGESTS) DIGESTS.clear();
  const digest = sha256(secret);
  DIGESTS.set(secret, digest);
  return digest;
}

const DIGESTS = new Map<string, string>();
/** Entries of the cache, which is cleared when it is full. Each is at most 512 characters (authenticate.ts). */
const MAX_DIGESTS = 1_000;

/** The last four characters, by which people distinguish the secrets of a key. */
export const hintOf = (secret: string): string => `…${secret.slice(-4)}`;
