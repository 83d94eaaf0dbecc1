import type { FileFormat, StoredRow } from "./columns.ts";

const HOUR_MS = 60 * 60_000;

/** Columns of calls whose sums it has, where they are known. */
const SUMS = [
  "tokens_fresh",
  "tokens_cache_read",
  "tokens_cache_write",
  "tokens_output",
  "tokens_reasoning",
  "cost_micros_usd",
  "latency_total_ms",
] as const;

/**
 * The files that sum up those of calls: a row for each hour, model, provider, key and status. `latency_histogram`: a JSON
 * object of counts by bucket, which can be added; see `bucketOf`.
 */
export const ROLLUP_FILES: FileFormat = {
  schema: "call_rollups/1",
  columns: [
    { id: 1, name: "hour", kind: "time", isRequired: true },
    { id: 2, name: "organization", kind: "text", isRequired: true },
    { id: 3, name: "model", kind: "text" },
    { id: 4, name: "provider", kind: "text" },
    { id: 5, name: "key_id", kind: "text", isRequired: true },
    { id: 6, name: "status", kind: "text", isRequired: true },
    { id: 7, name: "calls", kind: "count", isRequired: true },
    { id: 8, name: "calls_without_cost", kind: "count", isRequired: true },
    ...SUMS.map((name, i) => ({ id: 9 + i, name, kind: "count", isRequired: true }) as const),
    { id: 16, name: "latency_histogram", kind: "text", isRequired: true },
  ],
};

/** Width of a bucket: percentiles are right to one in a hundred. */
const BASE = Math.log(1.02);

/** The bucket of a duration in milliseconds. Those from its lower bound `1.02 ** bucket - 1` on are in it. */
export const bucketOf = (ms: number): number => Math.floor(Math.log(ms + 1) / BASE);

type Group = { row: StoredRow; histogram: Map<number, number> };

/** What sums may be grouped by. */
export const GROUP_COLUMNS = ["hour", "model", "provider", "key_id", "status"] as const;
export type GroupColumn = (typeof GROUP_COLUMNS)[number];

/** Sums up calls. Memory grows with the number of groups. */
export class Rollup {
  readonly #groups = new Map<string, Group>();
  readonly #by: ReadonlySet<GroupColumn>;

  constructor(by: readonly GroupColumn[] = GROUP_COLUMNS) {
    this.#by = new Set(by);
  }

  get size(): number {
    return this.#groups.size;
  }

  /** `rows`: as files of calls have them. */
  add(rows: readonly StoredRow[]): void {
    for (const row of rows) this.#count(row, 1);
  }

  /** For a row that another file was summed up with, and that a newer one replaces: counts may be negative. */
  subtract(row: StoredRow): void {
    this.#count(row, -1);
  }

  /** Adds a row of a file of sums. */
  merge(sums: StoredRow): void {
    const { row, histogram } = this.#groupOf(sums);
    for (const name of ["calls", "calls_without_cost", ...SUMS]) row[name] = Number(row[name]) + Number(sums[name]);
    for (const [bucket, count] of Object.entries(JSON.parse(String(sums.latency_histogram)) as Record<string, number>))
      histogram.set(Number(bucket), (histogram.get(Number(bucket)) ?? 0) + count);
  }

  #count(call: StoredRow, by: 1 | -1): void {
    const hour = Math.floor(Number(call.created_at) / HOUR_MS) * HOUR_MS;
    const { row, histogram } = this.#groupOf({ ...call, hour });
    row.calls = Number(row.calls) + by;
    row.calls_without_cost = Number(row.calls_without_cost) + by * Number(call.cost_micros_usd === null);
    for (const name of SUMS) row[name] = Number(row[name]) + by * Number(call[name]);
    const bucket = bucketOf(Number(call.latency_total_ms));
    histogram.set(bucket, (histogram.get(bucket) ?? 0) + by);
  }

  /** In the order of their hours. */
  get rows(): StoredRow[] {
    const rows = [...this.#groups.values()].map(({ row, histogram }): StoredRow => ({
      ...row,
      latency_histogram: JSON.stringify(Object.fromEntries(histogram)),
    }));
    return rows.toSorted((a, b) => Number(a.hour) - Number(b.hour));
  }

  #groupOf(of: StoredRow): Group {
    const columns = GROUP_COLUMNS.map((name) => [name, this.#by.has(name) ? (of[name] ?? null) : null] as const);
    const key = JSON.stringify(columns);
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const row = { ...Object.fromEntries(columns), organization: of.organization ?? null, ...ZEROS };
    const group = { row, histogram: new Map<number, number>() };
    this.#groups.set(key, group);
    return group;
  }
}

const ZEROS = Object.fromEntries(["calls", "calls_without_cost", ...SUMS].map((name) => [name, 0]));

/** The duration in milliseconds below which such a share of the calls is, right to one in a hundred; undefined without calls. */
export function quantileOf(sums: StoredRow, share: number): number | undefined {
  const counts = Object.entries(JSON.parse(String(sums.latency_histogram)) as Record<string, number>);
  const sorted = counts.map(([bucket, count]) => [Number(bucket), count] as const).toSorted(([a], [b]) => a - b);
  const all = sorted.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  const found = sorted.find(([, count]) => (seen += count) >= share * all && seen > 0);
  return found && 1.02 ** (found[0] + 0.5) - 1;
}
