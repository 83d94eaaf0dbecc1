/** Periods of budgets. `total` never ends. */
export const PERIODS = ["daily", "weekly", "monthly", "total"] as const;
export type Period = (typeof PERIODS)[number];

/** Formats of days by time zone, as `2026-11-21`, which sort by time. Cached: creating one takes longer than using it. */
const FORMATS = new Map<string, Intl.DateTimeFormat>();

/** Whether the platform knows an IANA time zone of this name. */
export function isTimeZone(name: string): boolean {
  try {
    return dayOf(0, name) !== "";
  } catch {
    return false;
  }
}

/** The day of a time in a time zone. `at`: Unix milliseconds. Throws RangeError for an unknown time zone. */
function dayOf(at: number, timeZone: string): string {
  const format =
    FORMATS.get(timeZone) ??
    new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" });
  FORMATS.set(timeZone, format);
  return format.format(at);
}

/** The current day by time zone: the search for its end takes a hundred times as long as a lookup. */
const CURRENT_DAYS = new Map<string, { day: string; begin: number; end: number }>();

/** The day of a time, and when it ends. `at` and `end`: Unix milliseconds. */
export function currentDay(at: number, timeZone: string): { day: string; end: number } {
  const cached = CURRENT_DAYS.get(timeZone);
  if (cached !== undefined && cached.begin <= at && at < cached.end) return cached;
  const day = dayOf(at, timeZone);
  const found = { day, begin: findDayStart(day, timeZone), end: findPeriodEnd("daily", at, timeZone) };
  CURRENT_DAYS.set(timeZone, found);
  return found;
}

/** The first day of the period that contains this day; for `total` a text that sorts before all days. */
export function findFirstDay(period: Period, day: string): string {
  switch (period) {
    case "daily":
      return day;
    case "weekly":
      return addDays(day, -((weekdayOf(day) + 6) % 7));
    case "monthly":
      return `${day.slice(0, 7)}-01`;
    case "total":
      return "";
  }
}

/** The end of the period that contains this time, in Unix milliseconds; Infinity for `total`. */
export function findPeriodEnd(period: Period, at: number, timeZone: string): number {
  if (period === "total") return Infinity;
  const first = findFirstDay(period, dayOf(at, timeZone));
  const next =
    period === "monthly" ? findFirstDay("monthly", addDays(first, 31)) : addDays(first, period === "weekly" ? 7 : 1);
  return findDayStart(next, timeZone);
}

/** The first millisecond of a day. Found by bisection, since clocks change for daylight saving time, in some zones at midnight. */
function findDayStart(day: string, timeZone: string): number {
  const noon = Date.parse(`${day}T12:00:00Z`);
  let before = noon - 2 * DAY_MS;
  let after = noon + 2 * DAY_MS;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (dayOf(middle, timeZone) < day) before = middle;
    else after = middle;
  }
  return after;
}

/** Milliseconds of a day in UTC. */
const DAY_MS = 86_400_000;

/** A calendar day later by `days`, which may be negative. UTC has no daylight saving time. */
const addDays = (day: string, days: number): string =>
  new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);

/** 0 is Sunday. */
const weekdayOf = (day: string): number => new Date(`${day}T00:00:00Z`).getUTCDay();
