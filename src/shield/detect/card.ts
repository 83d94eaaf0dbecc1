import { type Group, type Place, sizeOf } from "./number-runs.ts";

const MIN = 12;
const MAX = 19;

/** Lengths of card numbers by their first digits. Source: ISO/IEC 7812 and the ranges that the networks publish. */
const NETWORKS: readonly { prefix: RegExp; lengths: readonly number[] }[] = [
  { prefix: /^4/, lengths: [13, 16, 19] },
  { prefix: /^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, lengths: [16] },
  { prefix: /^3[47]/, lengths: [15] },
  { prefix: /^3(?:0[0-5]|[68])/, lengths: [14, 16, 19] },
  { prefix: /^(?:6011|65|64[4-9])/, lengths: [16, 19] },
  { prefix: /^35(?:2[89]|[3-8])/, lengths: [16, 17, 18, 19] },
  { prefix: /^62/, lengths: [16, 17, 18, 19] },
  { prefix: /^(?:50|5[678]|6304|6390|67)/, lengths: [12, 13, 14, 15, 16, 17, 18, 19] },
];

/** How cards are printed, by the sizes of their groups. */
const PRINTED = new Set(["4 4 4 4", "4 6 5", "4 6 4", "4 4 4 4 3", "4 4 4 1", "6 13", "8 8", "4 4 4 2 2"]);

/** So few digits are an article's number as often: a word has to say that they are a card. */
const MAX_SHORT = 13;
const CARD_WORD =
  /\b(?:cards?|credit|debit|visa|master ?card|amex|maestro|cc|pay(?:ment|ing)?|karte|carte|tarjeta|carta|kaart)\b/i;

/** How many groups from here on are the number of a payment card; 0: none. */
export function cardAt(groups: readonly Group[], from: number, place: Place): number {
  const { text } = place;
  if (!FIRST.has(text[groups[from]!.start]!)) return 0;
  let digits = "";
  let lengths: readonly number[] = ANY_LENGTH;
  for (let i = from; i < groups.length && digits.length < MAX && lengths.length > 0; i++) {
    if (i > from && !isJoined(groups[i]!, groups[from + 1]!)) return 0;
    const isKnown = digits.length >= PREFIX;
    digits += text.slice(groups[i]!.start, groups[i]!.end);
    if (digits.length < PREFIX) continue;
    if (!isKnown) lengths = lengthsOf(digits.slice(0, PREFIX));
    if (!lengths.includes(digits.length) || !isLuhn(digits)) continue;
    if (isWrittenAsCard(groups, from, i + 1 - from, place)) return i + 1 - from;
  }
  return 0;
}

function isWrittenAsCard(groups: readonly Group[], from: number, count: number, { text, before }: Place): boolean {
  const own = groups.slice(from, from + count);
  const length = own.reduce((sum, group) => sum + sizeOf(group), 0);
  if (length <= MAX_SHORT && !CARD_WORD.test(before(own[0]!.start))) return false;
  return isPrinted(own) && isAlone(groups, from, count, text);
}

const FIRST = new Set("23456");
/** So many digits tell the network. */
const PREFIX = 4;
const ANY_LENGTH: readonly number[] = [MIN];
const known = new Map<string, readonly number[]>();

/** The lengths that a card with these first digits may have. */
function lengthsOf(prefix: string): readonly number[] {
  let lengths = known.get(prefix);
  if (lengths === undefined) {
    lengths = NETWORKS.flatMap((network) => (network.prefix.test(prefix) ? network.lengths : []));
    known.set(prefix, lengths);
  }
  return lengths;
}

/** One kind of separator joins all groups of a card. */
const isJoined = ({ before }: Group, second: Group): boolean => before === second.before && /^[ \-.]$/.test(before);

function isPrinted(groups: readonly Group[]): boolean {
  const sizes = groups.map(sizeOf);
  return sizes.length === 1 || sizes.every((size) => size === 1) || PRINTED.has(sizes.join(" "));
}

/** A row of numbers of one size is a table: some of its cells are no card, unless those beside them are one as well. */
function isAlone(groups: readonly Group[], from: number, count: number, text: string): boolean {
  if (count === 1) return true;
  const isLike = (other: number, own: number, gap: number): boolean =>
    groups[other] !== undefined &&
    sizeOf(groups[other]) === sizeOf(groups[own]!) &&
    groups[gap]!.before === groups[from + 1]!.before;
  const isFree = (other: number, own: number, gap: number, next: number): boolean =>
    !isLike(other, own, gap) || isCard(groups.slice(Math.max(0, next), next + count), text);
  return (
    isFree(from - 1, from, from, from - count) && isFree(from + count, from + count - 1, from + count, from + count)
  );
}

function isCard(groups: readonly Group[], text: string): boolean {
  const digits = groups.map(({ start, end }) => text.slice(start, end)).join("");
  return digits.length <= MAX && lengthsOf(digits.slice(0, PREFIX)).includes(digits.length) && isLuhn(digits);
}

/** ISO/IEC 7812-1, annex B. */
export function isLuhn(digits: string): boolean {
  let sum = 0;
  for (let i = digits.length - 1, isDouble = false; i >= 0; i--, isDouble = !isDouble) {
    const digit = digits.charCodeAt(i) - 48;
    sum += isDouble ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit;
  }
  return sum % 10 === 0;
}
