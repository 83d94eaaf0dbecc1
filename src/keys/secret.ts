import { randomBytes } from "node:crypto";
import { sha256 } from "../wire/hash.ts";

/**
 * `rhone_sk_{place}{256 bits}`. The place names the key's object, so a secret is checked without a directory; it is no
 * secret itself and stands in the key's id as well.
 */
const SECRET = /^rhone_sk_([0-9a-hjkmnp-tv-z]{52})([A-Za-z0-9_-]{43})$/;

export const newSecret = (objectId: string): string => `rhone_sk_${objectId}${randomBytes(32).toString("base64url")}`;

/** The place in a secret; undefined when the text is none of ours. */
export const objectIdInSecret = (text: string): string | undefined => SECRET.exec(text)?.[1];

/**
 * All that is stored of a secret. It has 256 bits of chance: salt would add nothing. An isolate remembers the digests of
 * those that came lately. To find one tells no more than that it came: what it opens is decided by comparing digests.
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
/** Beyond it an isolate begins anew. A secret is of 512 characters at most where it comes from outside. */
const MAX_DIGESTS = 1_000;

/** What people are shown to tell secrets apart. */
export const hintOf = (secret: string): string => `…${secret.slice(-4)}`;
