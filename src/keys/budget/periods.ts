export const PERIODS = ["daily", "weekly", "monthly", "total"] as const;
export type Period = (typeof PERIODS)[number];

/** Days as a time zone counts them: `2026-11-21`. They sort. */
const FORMATS = new Map<string, Intl.DateTimeFormat>();

export function isTimeZone(name: string): boolean {
  try {
    return dayOf(0, name) !== "";
  } catch {
    return false;
  }
}

/** The day at that time. Throws RangeError for a time zone that nobody knows. */
export function dayOf(at: number, timeZone: string): string {
  const format =
    FORMATS.get(timeZone) ??
    new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" });
  FORMATS.set(timeZone, format);
  return format.format(at);
}

/** Looking for the end of a day takes a hundred times as long as knowing it. */
const TODAY = new Map<string, { day: string; begin: number; end: number }>();

/** The day at that time, and when it ends: Unix milliseconds. */
export function today(at: number, timeZone: string): { day: string; end: number } {
  const known = TODAY.get(timeZone);
  if (known !== undefined && known.begin <= at && at < known.end) return known;
  const day = dayOf(at, timeZone);
  const found = { day, begin: beginningOf(day, timeZone), end: endOf("daily", at, timeZone) };
  TODAY.set(timeZone, found);
  return found;
}

/** The first day of the period that this day is in. A total has always run. */
export function firstDay(period: Period, day: string): string {
  switch (period) {
    case "daily":
      return day;
    case "weekly":
      return shifted(day, -((weekdayOf(day) + 6) % 7));
    case "monthly":
      return `${day.slice(0, 7)}-01`;
    case "total":
      return "";
  }
}

/** When the period ends that this time is in: Unix milliseconds. A total never does. */
export function endOf(period: Period, at: number, timeZone: string): number {
  if (period === "total") return Infinity;
  const first = firstDay(period, dayOf(at, timeZone));
  const next =
    period === "monthly" ? firstDay("monthly", shifted(first, 31)) : shifted(first, period === "weekly" ? 7 : 1);
  return beginningOf(next, timeZone);
}

/** The first moment of a day. Clocks are put forward and back, some at midnight: it is looked for, not calculated. */
function beginningOf(day: string, timeZone: string): number {
  const noon = Date.parse(`${day}T12:00:00Z`);
  let before = noon - 2 * DAY;
  let after = noon + 2 * DAY;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (dayOf(middle, timeZone) < day) before = middle;
    else after = middle;
  }
  return after;
}

const DAY = 86_400_000;

const shifted = (day: string, days: number): string =>
  new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY).toISOString().slice(0, 10);

/** 0 is Sunday. */
const weekdayOf = (day: string): number => new Date(`${day}T00:00:00Z`).getUTCDay();
