import { findAssignments } from "./detect/assignments.ts";
import { findEmails } from "./detect/email.ts";
import { BLANK, type Find, type Kind, withoutOverlaps } from "./detect/find.ts";
import { findIbans } from "./detect/iban.ts";
import { findAddresses } from "./detect/ip.ts";
import { findNames } from "./detect/names.ts";
import { findNationalIds } from "./detect/national-ids.ts";
import { findNumbers } from "./detect/numbers.ts";
import { toItsEnd } from "./detect/open-secret.ts";
import { findPrivateKeys } from "./detect/pem.ts";
import { findSecrets } from "./detect/secrets.ts";
import { isFake } from "./replace.ts";
import type { Rules } from "./rules.ts";

const NUMBERS: readonly Kind[] = ["card", "ssn", "phone"];

/** A word of letters alone is a value of no kind if it is as short as names of the wires are: most strings of a request. */
const isShortWord = (text: string): boolean => text.length < SHORT && /^[A-Za-z_$-]*$/.test(text);
const SHORT = 20;

const HAS_DIGIT = /\d/;
/** Kinds of which each value has a digit. */
const WITH_DIGITS: ReadonlySet<Kind> = new Set<Kind>(["card", "ssn", "phone", "iban", "national_id"]);
const WITHOUT_DIGITS = new WeakMap<ReadonlySet<Kind>, ReadonlySet<Kind>>();

/** The kinds that a text without a digit may have values of. */
function withoutDigits(kinds: ReadonlySet<Kind>): ReadonlySet<Kind> {
  const known = WITHOUT_DIGITS.get(kinds);
  if (known !== undefined) return known;
  const rest = new Set([...kinds].filter((kind) => !WITH_DIGITS.has(kind)));
  WITHOUT_DIGITS.set(kinds, rest);
  return rest;
}

/** What has been read of a text before: up to `from`, with what was found there. */
export type Earlier = { from: number; finds: readonly Find[] };

const NOTHING: Earlier = { from: 0, finds: [] };

/**
 * Finds what the rules name in a text that `normalizeText` has read, behind what was read before: that says what some of it is.
 * Takes time in proportion to the text, for any text.
 */
export function findValues(text: string, rules: Rules, earlier = NOTHING): Find[] {
  const found = findOf(text, rules, earlier);
  if (rules.allowed === undefined) return found;
  const isFree = ({ start, end }: Find): boolean => !found.some((one) => one.start < end && one.end > start);
  const allowed = findOf(text, rules.allowed, earlier).filter(isFree);
  return allowed.length === 0 ? found : [...found, ...allowed].toSorted((a, b) => a.start - b.start);
}

function findOf(text: string, { kinds: all, names, patterns = [] }: Rules, earlier: Earlier): Find[] {
  if (isShortWord(text) && names === undefined && patterns.length === 0) return [];
  const kinds = HAS_DIGIT.test(text) ? all : withoutDigits(all);
  const found: Find[] = patterns.flatMap(({ find }) => find(text));
  if (names !== undefined) findNames(text, names, found);
  if (kinds.has("email")) findEmails(text, found);
  if (kinds.has("secret")) {
    findPrivateKeys(text, found);
    findSecrets(text, found);
  }
  if (kinds.has("ip")) findAddresses(text, found);
  if (kinds.has("iban")) findIbans(text, found);
  if (kinds.has("national_id")) findNationalIds(text, found);
  const { from } = earlier;
  let finds = settle([...earlier.finds, ...behind(found, from)], text);
  if (kinds.has("secret")) {
    const assigned: Find[] = [];
    findAssignments(withBlanks(text, finds), assigned);
    finds = settle([...finds, ...behind(assigned, from)], text);
  }
  if (NUMBERS.some((kind) => kinds.has(kind)))
    finds = settle([...finds, ...findNumbers(text, withBlanks(text, finds), kinds, from)], text);
  return behind(finds, from).filter(({ start, end, kind }) => !isFake(text.slice(start, end), kind));
}

const behind = (finds: Find[], from: number): Find[] =>
  from === 0 ? finds : finds.filter(({ start }) => start >= from);

const settle = (found: readonly Find[], text: string): Find[] =>
  found.length === 0 ? [] : withoutOverlaps(found.map((find) => toItsEnd(find, text)));

/** The text without what is something already, which is no part of anything else. */
function withBlanks(text: string, finds: readonly Find[]): string {
  if (finds.length === 0) return text;
  const parts: string[] = [];
  let at = 0;
  for (const { start, end } of finds) {
    parts.push(text.slice(at, start), BLANK.repeat(end - start));
    at = end;
  }
  return parts.join("") + text.slice(at);
}
