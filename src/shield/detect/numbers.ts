import { cardAt } from "./card.ts";
import type { Find, Kind } from "./find.ts";
import { CONTEXT_LENGTH, type Group, listRuns, type Place, sizeOf } from "./number-runs.ts";
import { phoneAt } from "./phone.ts";

const SSN_WORD = /\b(?:ssn|social security|social-security|soc\.? sec\.?)\b[^\n\ue000]{0,24}$/i;

/** Cards, social security and telephone numbers from a place on. `rest`: the text without what is something already. */
export function findNumbers(text: string, rest: string, kinds: ReadonlySet<Kind>, from: number): Find[] {
  const found: Find[] = [];
  // A word before a number says nothing about the one after it.
  const before = (at: number): string => rest.slice(Math.max(found.at(-1)?.end ?? 0, at - CONTEXT_LENGTH), at);
  for (const groups of listRuns(rest, text))
    for (let i = 0; i < groups.length;) {
      const find = groups[i]!.start < from ? undefined : numberAt(groups, i, { text: rest, before }, kinds);
      i++;
      if (find === undefined) continue;
      found.push(find);
      while (i < groups.length && groups[i]!.start < find.end) i++;
    }
  return found;
}

function numberAt(groups: readonly Group[], from: number, place: Place, kinds: ReadonlySet<Kind>): Find | undefined {
  const start = groups[from]!.start;
  const cards = kinds.has("card") ? cardAt(groups, from, place) : 0;
  if (cards > 0) return { start, end: groups[from + cards - 1]!.end, kind: "card" };
  const ssns = kinds.has("ssn") ? ssnAt(groups, from, place) : 0;
  if (ssns > 0) return { start, end: groups[from + ssns - 1]!.end, kind: "ssn" };
  return kinds.has("phone") ? phoneAt(groups, from, place) : undefined;
}

/** US social security numbers: area, group and serial, none of them zero. Without marks only where a word says so. */
function ssnAt(groups: readonly Group[], from: number, { text, before }: Place): number {
  const area = groups[from]!;
  if (sizeOf(area) === 9) return isSsn(text.slice(area.start, area.end)) && SSN_WORD.test(before(area.start)) ? 1 : 0;
  const [group, serial] = [groups[from + 1], groups[from + 2]];
  if (group === undefined || serial === undefined || serial.before !== group.before) return 0;
  if (sizeOf(area) !== 3 || sizeOf(group) !== 2 || sizeOf(serial) !== 4 || !/^[ \-.]$/.test(group.before)) return 0;
  const isPart = [area, groups[from + 3]].some((other) => other?.before === group.before);
  return !isPart && isSsn([area, group, serial].map(({ start, end }) => text.slice(start, end)).join("")) ? 3 : 0;
}

/** From 900 on they are taxpayers' numbers (ITIN), which are as personal. */
const isSsn = (digits: string): boolean =>
  !/^(?:000|666)/.test(digits) && digits.slice(3, 5) !== "00" && digits.slice(5) !== "0000";
