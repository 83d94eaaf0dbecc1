import { randomBytes } from "node:crypto";
import { sha256 } from "../wire/hash.ts";

/**
 * `rhone_sk_{place}{256 bits}`. The place names the key's object, so a secret is checked without a directory; it is no
 * secret itself and stands in the key's id as well.
 */
const SECRET = /^rhone_sk_([0-9a-hjkmnp-tv-z]{52})([A-Za-z0-9_-]{43})$/;

export const newSecret = (place: string): string => `rhone_sk_${place}${randomBytes(32).toString("base64url")}`;

/** The place in a secret; undefined when the text is none of ours. */
export const placeInSecret = (text: string): string | undefined => SECRET.exec(text)?.[1];

/** All that is stored of a secret. It has 256 bits of chance: salt would add nothing. */
export const digestOf = (secret: string): string => sha256(secret);

/** What people are shown to tell secrets apart. */
export const hintOf = (secret: string): string => `…${secret.slice(-4)}`;
