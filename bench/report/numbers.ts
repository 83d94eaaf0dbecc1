/** The value at this rank (0 to 1); NaN for no values. */
export function quantile(values: readonly number[], rank: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * rank))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => {
  const known = values.filter((value) => !Number.isNaN(value)).toSorted((a, b) => a - b);
  const middle = known.length >> 1;
  return known.length % 2 === 1 ? known[middle]! : (known[middle - 1]! + known[middle]!) / 2;
};

/** Three significant digits for a table; – for an unknown value. */
export function formatNumber(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(size >= 10 ? 1 : 2);
}

export const formatRounds = (rounds: number): string => (rounds === 1 ? "1 round" : `${rounds} interleaved rounds`);
