import { type Find, isWordCharacter } from "./find.ts";
import { ISSUED_SECRETS } from "./issued-secrets.ts";

/** Two characters of ASCII as one number; more for others. */
const startAt = (text: string, at: number): number => text.charCodeAt(at) * 128 + text.charCodeAt(at + 1);

/** The patterns of issued secrets by their first two characters, which few words have. */
const BY_START = new Map<number, RegExp>();
/** Of each pair of characters whether it has patterns, and of each character whether it is a part of words. */
const IS_START = new Uint8Array(128 * 128);
const IS_WORD = Uint8Array.from({ length: 128 }, (_, code) => Number(isWordCharacter(code)));
for (const [start, patterns] of groupByStart()) {
  BY_START.set(start, new RegExp(patterns.join("|"), "y"));
  IS_START[start] = 1;
}

function groupByStart(): Map<number, string[]> {
  const groups = new Map<number, string[]>();
  for (const [starts, rest] of ISSUED_SECRETS)
    for (const start of starts.split(" ")) {
      const key = startAt(start, 0);
      groups.set(key, [...(groups.get(key) ?? []), start.replaceAll(".", "\\.") + rest]);
    }
  return groups;
}

const TERRAFORM = /(?<![A-Za-z0-9_])[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}/g;
const TELEGRAM = /(?<!\w)\d{5,16}:A[A-Za-z0-9_-]{34}(?![A-Za-z0-9_-])/g;
/** `scheme://user:password@host`: the password. RFC 3986, 3.2.1. */
const URL_PASSWORD = /:\/\/[^\s\x80-\uffff/?#:@"'<>`]{0,128}:([^\s\x80-\uffff/?#@"'<>`]{3,256})@[A-Za-z0-9[]/g;
/** What its form, or its place in a URL, says to be a secret. */
export function findSecrets(text: string, found: Find[]): void {
  findIssued(text, found);
  if (text.includes(".atlasv1.")) findWhole(text, TERRAFORM, found);
  if (text.includes(":A")) findWhole(text, TELEGRAM, found);
  if (text.includes("://")) findPasswords(text, found);
}

function findIssued(text: string, found: Find[]): void {
  let isInWord = false;
  for (let at = 0; at < text.length - 1; at++) {
    const isStart = !isInWord && IS_START[startAt(text, at)] === 1;
    isInWord = IS_WORD[text.charCodeAt(at)] === 1;
    if (!isStart) continue;
    const pattern = BY_START.get(startAt(text, at))!;
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null) continue;
    const end = pattern.lastIndex;
    if (entropyOf(match[0]) >= MIN_ENTROPY) found.push({ start: at, end, kind: "secret" });
    at = end - 1;
    isInWord = true;
  }
}

function findWhole(text: string, pattern: RegExp, found: Find[]): void {
  for (const { index, 0: value } of text.matchAll(pattern))
    found.push({ start: index, end: index + value.length, kind: "secret" });
}

function findPasswords(text: string, found: Find[]): void {
  for (const match of text.matchAll(URL_PASSWORD)) {
    const password = match[1]!;
    const start = match.index + match[0].lastIndexOf(password);
    if (!isPlaceholder(password)) found.push({ start, end: start + password.length, kind: "secret" });
  }
}

/** What stands where a secret would. */
const PLACEHOLDER =
  /^(?:(.)\1*|PII_.*|hash_[0-9a-f]{16}|\*{4}.*|<.*|\$.*|%.*|\{.*|(?:your|replace|insert)[_-].*|my[_-]?(?:password|secret|token)|change_?me|password|passwd|secret|token|null|none|undefined|true|false)$/i;

export const isPlaceholder = (value: string): boolean => PLACEHOLDER.test(value);

/** Bits a character from which a value looks made by chance. English has about 4 at this length, but no digits. */
const MIN_ENTROPY = 2.8;

/** Whether a value looks made by chance: digits among letters, and few characters more than once. */
export function isRandom(value: string): boolean {
  if (value.length < 8 || isPlaceholder(value) || !/\d/.test(value)) return false;
  if (/^\d+$/.test(value)) return value.length >= 16;
  return entropyOf(value) >= MIN_ENTROPY;
}

/** Shannon's, in bits a character. */
function entropyOf(value: string): number {
  const counts = new Map<string, number>();
  for (const character of value) counts.set(character, (counts.get(character) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / value.length) * Math.log2(count / value.length);
  return bits;
}
