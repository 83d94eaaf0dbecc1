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
function dayOf(at: number, timeZone: string): string {
  const format =
    FORMATS.get(timeZone) ??
    new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" });
  FORMATS.set(timeZone, format);
  return format.format(at);
}

/** Looking for the end of a day takes a hundred times as long as knowing it. */
const CURRENT_DAYS = new Map<string, { day: string; begin: number; end: number }>();

/** The day at that time, and when it ends: Unix milliseconds. */
export function currentDay(at: number, timeZone: string): { day: string; end: number } {
  const cached = CURRENT_DAYS.get(timeZone);
  if (cached !== undefined && cached.begin <= at && at < cached.end) return cached;
  const day = dayOf(at, timeZone);
  const found = { day, begin: findDayStart(day, timeZone), end: findPeriodEnd("daily", at, timeZone) };
  CURRENT_DAYS.set(timeZone, found);
  return found;
}

/** The first day of the period that this day is in. A total has always run. */
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

/** When the period ends that this time is in: Unix milliseconds. A total never does. */
export function findPeriodEnd(period: Period, at: number, timeZone: string): number {
  if (period === "total") return Infinity;
  const first = findFirstDay(period, dayOf(at, timeZone));
  const next =
    period === "monthly" ? findFirstDay("monthly", addDays(first, 31)) : addDays(first, period === "weekly" ? 7 : 1);
  return findDayStart(next, timeZone);
}

/** The first moment of a day. Clocks are put forward and back, some at midnight: it is looked for, not calculated. */
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

const DAY_MS = 86_400_000;

const addDays = (day: string, days: number): string =>
  new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);

/** 0 is Sunday. */
const weekdayOf = (day: string): number => new Date(`${day}T00:00:00Z`).getUTCDay();
