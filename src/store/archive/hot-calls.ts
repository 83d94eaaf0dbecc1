import { toFileRow } from "./call-columns.ts";
import type { StoredRow } from "./columns.ts";
import { listParts } from "./parts.ts";
import { readSome, type RecordSources } from "./sealed-calls.ts";

/** Rows of a group in a file, and characters of their texts: all of it is in memory at once. */
const GROUP = { rows: 10_000, characters: 8_000_000 };
/** What one query reads: D1 answers nothing else meanwhile, and its answers are limited. */
const READ = { rows: 1_000, characters: 4_000_000 };
/** The rows of an organisation in the order of their ids, as files have them, a group at a time. `from`: an id. */
export async function* readHot(
  d1: D1Database,
  org: string,
  { from = "", before, calls = "call_records" }: { from?: string; before: string; calls?: string },
): AsyncGenerator<StoredRow[]> {
  let next = from;
  let limit = READ.rows;
  for (let isEnd = false; !isEnd;) {
    const group: StoredRow[] = [];
    let characters = 0;
    while (!isEnd && group.length < GROUP.rows && characters < GROUP.characters) {
      const { results } = await d1.prepare(readRows(calls)).bind(org, next, before, limit).all<StoredRow>();
      isEnd = results.length < limit;
      const size = results.reduce((sum, row) => sum + lengthOf(row), 0);
      group.push(...results);
      characters += size;
      if (results.length > 0) next = `${String(results.at(-1)!.id)}\0`;
      const perRow = Math.max(1, size / Math.max(1, results.length));
      limit = Math.max(1, Math.min(READ.rows, Math.floor(READ.characters / perRow)));
    }
    if (group.length > 0) yield group.map(toFileRow);
  }
}

/** Characters of the texts whose length callers and providers decide on. */
const lengthOf = (row: StoredRow): number => LONG_TEXTS.reduce((sum, name) => sum + String(row[name] ?? "").length, 0);

const LONG_TEXTS = ["metadata", "usage_native", "attempts", "losses", "error", "model_asked", "safety"];

const readRows = (calls: string): string =>
  `SELECT * FROM ${calls} WHERE org = ?1 AND id >= ?2 AND id < ?3 ORDER BY id LIMIT ?4`;

/** Of calls that a file of a part started before has, the row that it has: it was summed up with that file. */
export async function findEarlier(
  { d1, bucket }: RecordSources,
  org: string,
  rows: readonly StoredRow[],
  before = Infinity,
): Promise<StoredRow[]> {
  const [from, to] = [String(rows[0]!.id), String(rows.at(-1)!.id)];
  const found = new Map<string, StoredRow>();
  const parts = (await listParts(d1, org, { from, to })).filter(({ startedAt }) => startedAt < before);
  for (const part of parts) {
    const isIn = (id: string): boolean => id >= part.firstId! && id <= part.lastId! && !found.has(id);
    const ids = new Set(rows.map(({ id }) => String(id)).filter(isIn));
    if (ids.size === 0) continue;
    for (const row of await readSome(bucket, part, ids)) found.set(String(row.id), toFileRow(row));
  }
  return [...found.values()];
}
