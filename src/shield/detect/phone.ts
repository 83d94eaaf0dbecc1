import type { Find } from "./find.ts";
import { EXTENSION, type Group, type Place, sizeOf } from "./number-runs.ts";

/** Such a word before it makes a number a telephone number, however it is written. */
const PHONE_WORD =
  /\b(?:phone|tel|telephone|telefon|telefono|téléphone|telefone|call|cell|desk|office|direct|hotline|landline|mobile|mobil|handy|fax|contact|dial|whatsapp|sms|text|ring|reach)\b[^.\n\ue000]{0,24}$/i;

const MIN = 7;
/** ITU-T E.164, 6.2. */
const MAX = 15;
const MAX_GROUPS = 8;
const isMark = (before: string): boolean => before === " " || before === "-" || MARK.test(before);
const MARK = /^(?:[ .\-/]| ?[()] ?|\) ?[-.]| ?[-/] ?|[ .-]\()$/;

/** The telephone number that starts with a group, its `+` or its bracket; undefined: none. */
export function phoneAt(groups: readonly Group[], from: number, place: Place): Find | undefined {
  const { text } = place;
  const first = groups[from]!;
  const start = startOf(first, text);
  const sign = text.slice(start, first.start);
  if (isDateAt(groups, from, text)) return undefined;
  const count = countByShape(groups, from, sign, text) || countByContext(groups, from, () => place.before(start));
  if (count === 0) return undefined;
  const end = groups[from + count - 1]!.end;
  const extension = EXTENSION.exec(text.slice(end, end + 12));
  return { start, end: end + (extension?.[0].length ?? 0), kind: "phone" };
}

/** With the `+` and the bracket in front of the first group. */
function startOf({ start }: Group, text: string): number {
  if (text[start - 1] === "(") return text[start - 2] === "+" ? start - 2 : start - 1;
  return text[start - 1] === "+" ? start - 1 : start;
}

/** How many groups look like a telephone number by themselves. */
function countByShape(groups: readonly Group[], from: number, sign: string, text: string): number {
  if (sign === "" && (isInside(groups, from) || !isLikeOne(groups, from, text))) return 0;
  const sizes: number[] = [];
  let digits = 0;
  let best = 0;
  for (let i = from; i < groups.length && sizes.length < MAX_GROUPS; i++) {
    const group = groups[i]!;
    if (i > from && !isMark(group.before)) break;
    sizes.push(sizeOf(group));
    digits += sizeOf(group);
    if (digits > MAX) break;
    if (digits >= MIN && isEnd(groups[i + 1]) && isShape(sizes, digits, sign, { groups, from, text }))
      best = sizes.length;
  }
  return best;
}

/** What stands before it is a part of the same number. */
const isInside = (groups: readonly Group[], from: number): boolean => from > 0 && /^[-./]$/.test(groups[from]!.before);

/** Without a sign it is written as in North America, or starts with a 0. */
function isLikeOne(groups: readonly Group[], from: number, text: string): boolean {
  const first = groups[from]!;
  if (text[first.start] === "0") return true;
  if (sizeOf(first) !== 3 && sizeOf(first) !== 1) return false;
  return isNorthAmerican(groups.slice(from, from + (sizeOf(first) === 1 ? 4 : 3)).map(sizeOf));
}

/** What follows is joined by a space, or not at all. */
const isEnd = (next: Group | undefined): boolean => next === undefined || next.before === " " || !isMark(next.before);

function isShape(
  sizes: readonly number[],
  digits: number,
  sign: string,
  { groups, from, text }: { groups: readonly Group[]; from: number; text: string },
): boolean {
  const [first] = sizes as [number];
  if (sign.includes("+")) return true;
  if (sizes.length === 1) return false;
  if (sign === "(") return first >= 2 && first <= 5 && groups[from + 1]!.before.startsWith(")");
  if (text.startsWith("00", groups[from]!.start)) return first <= 5 && digits >= 9;
  if (isNorthAmerican(sizes)) return true;
  const isNational = text[groups[from]!.start] === "0" && first >= 2 && first <= 5 && digits >= 8 && digits <= 12;
  return isNational && sizes.slice(1).every((size) => size >= 2 && size <= 8);
}

/** `415-555-0132`, with or without the country's 1. */
function isNorthAmerican(sizes: readonly number[]): boolean {
  const skipped = sizes[0] === 1 ? 1 : 0;
  const [area, exchange, line] = [sizes[skipped], sizes[skipped + 1], sizes[skipped + 2]];
  return sizes.length === skipped + 3 && area === 3 && exchange === 3 && line === 4;
}

/** A word this far before a number is about another one. */
const NEAR = 24;

/** How many groups go on in the same manner, if a word before them says that they are a telephone number. */
function countByContext(groups: readonly Group[], from: number, before: () => string): number {
  if (groups[from]!.start - groups[0]!.start > NEAR) return 0;
  let digits = 0;
  let count = 0;
  for (; count < MAX_GROUPS && from + count < groups.length; count++) {
    const group = groups[from + count]!;
    if ((count > 0 && !isMark(group.before)) || digits + sizeOf(group) > MAX) break;
    digits += sizeOf(group);
  }
  return digits >= MIN && PHONE_WORD.test(before()) ? count : 0;
}

/** `2026-11-30`, `30.11.2026`, also with a time after it. */
function isDateAt(groups: readonly Group[], from: number, text: string): boolean {
  const [first, second, third] = [groups[from]!, groups[from + 1], groups[from + 2]];
  if (second === undefined || third === undefined || second.before === " " || sizeOf(second) > 2) return false;
  if (second.before !== third.before || !["-", ".", "/"].includes(second.before)) return false;
  const year = sizeOf(first) === 4 ? first : third;
  const other = year === first ? third : first;
  return sizeOf(year) === 4 && sizeOf(other) <= 2 && ["19", "20"].includes(text.slice(year.start, year.start + 2));
}
