import { createHmac } from "node:crypto";
import { isLuhn } from "./detect/card.ts";
import type { Kind } from "./detect/find.ts";
import { MAX_HELD } from "./detect/open-secret.ts";

/** What stands for a value: a tag that can be undone, its last characters, a digest, or a value of the same form that no one has. */
export type Manner = "tag" | "mask" | "hash" | "fake";

/**
 * Replaces values by what comes from the value and a key alone: the same value gets the same in every call, turn and session of an
 * organisation, so that prefixes, caches and transcripts stay the same.
 */
export class Replacer {
  readonly #key: Buffer;

  /** `secret`: of the deployment. An organisation's tags tell nothing about those of another. */
  constructor(secret: string, org: string) {
    this.#key = createHmac("sha256", secret).update(`shield/${org}`).digest();
  }

  replace(value: string, kind: Kind, manner: Manner): string {
    if (manner === "mask") return `****${lettersOf(value).slice(-MASK_LETTERS)}`;
    const digest = createHmac("sha256", this.#key)
      .update(`${kind}\0${normalForm(value, kind)}`)
      .digest();
    if (manner === "hash") return `hash_${digest.toString("hex").slice(0, HASH)}`;
    return manner === "tag" ? toTag(kind, digest) : (FAKES[kind]?.(digest) ?? toTag(kind, digest));
  }

  /** For a number of JSON, another of as many digits. */
  replaceNumber(value: string, kind: Kind): string {
    const digest = this.#digestOf(value, kind);
    const count = Math.min(value.replace(/\D/g, "").length, MAX_DIGITS);
    return `9${digitsOf(digest, count - 1)}`;
  }

  #digestOf(value: string, kind: Kind): Buffer {
    return createHmac("sha256", this.#key)
      .update(`${kind}\0${normalForm(value, kind)}`)
      .digest();
  }
}

/** A double has each whole number of so many digits. */
const MAX_DIGITS = 15;
/** Characters of a mask, and of a digest in hexadecimal. */
const MASK_LETTERS = 4;
const HASH = 16;

const lettersOf = (value: string): string => value.replace(/[^A-Za-z0-9]/g, "");

/** What is the same value in another form: a card with spaces or without, an address in small letters or large ones. */
function normalForm(value: string, kind: Kind): string {
  const text = value.normalize("NFKC");
  if (kind === "email" || kind === "ip") return text.toLowerCase();
  if (kind === "name") return text.toLowerCase().replace(/[^\p{L}\p{M}\p{N}]+/gu, " ");
  if (kind === "iban") return lettersOf(text).toUpperCase();
  if (kind === "card" || kind === "ssn" || kind === "phone") return text.replace(/[^0-9+]/g, "");
  // As much as a stream has of it when its place is taken.
  return value.slice(0, MAX_HELD);
}

/** RFC 4648, 6. */
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const TAG_LETTERS = 8;

const toTag = (kind: Kind, digest: Buffer): string =>
  `PII_${kind.toUpperCase().replace(/[^A-Z0-9]+/g, "_")}_${Array.from(digest.subarray(0, TAG_LETTERS), (byte) => BASE32[byte & 31]).join("")}`;

const digitsOf = (digest: Buffer, count: number): string =>
  Array.from(digest.subarray(0, count), (byte) => byte % 10).join("");

/** Values of a form that no issuer gives out, and that `isFake` knows again. */
const FAKES: Partial<Record<Kind, (digest: Buffer) => string>> = {
  email: (digest) => `u${digest.toString("hex").slice(0, 12)}@${FAKE_HOST}`,
  phone: (digest) => `${FAKE_PHONE}${digitsOf(digest, 10)}`,
  card: (digest) => withCheckDigit(FAKE_CARD + digitsOf(digest, 15 - FAKE_CARD.length)),
  ssn: (digest) => `9${digitsOf(digest, 2)}-${FAKE_SSN}-${digitsOf(digest.subarray(2), 4)}`,
  ip: (digest) => `${FAKE_IP}${digest[0]}.${digest[1]}.${digest[2]}`,
};

/** RFC 2606, 2. */
const FAKE_HOST = "pii.example";
/** ITU-T E.164: a country code that is reserved. */
const FAKE_PHONE = "+999";
/** Of a test account's range. */
const FAKE_CARD = "40000099";
/** No social security or taxpayer's number has such a group. */
const FAKE_SSN = "00";
/** RFC 1112, 4: reserved. */
const FAKE_IP = "250.";

function withCheckDigit(number: string): string {
  let check = 0;
  while (!isLuhn(`${number}${check}`)) check++;
  return `${number}${check}`;
}

/** Whether a value stands for another one: it is not replaced again. */
export function isFake(value: string, kind: Kind): boolean {
  if (kind === "email") return value.toLowerCase().endsWith(`@${FAKE_HOST}`);
  if (kind === "phone") return value.startsWith(FAKE_PHONE);
  if (kind === "card") return value.startsWith(FAKE_CARD);
  return kind === "ip" && value.startsWith(FAKE_IP);
}
