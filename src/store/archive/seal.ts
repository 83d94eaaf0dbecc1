import { createdAtOf, firstId } from "../../wire/id.ts";
import { CALL_FILES, fromFileRow } from "./call-columns.ts";
import { findNoted, forgetNoted } from "./changes.ts";
import type { StoredRow } from "./columns.ts";
import { findEarlier, readHot } from "./hot-calls.ts";
import { withOrganizations } from "./organizations.ts";
import { openFile, ParquetFile, readGroups, type WrittenFile } from "./parquet-file.ts";
import {
  type Contents,
  filesOf,
  findUnfinished,
  forgetPart,
  manifestKeyOf,
  markRemoved,
  markReplaced,
  markSealed,
  MAX_SLICE_MS,
  type RecordPart,
  rollupKeyOf,
  startPart,
} from "./parts.ts";
import { Rollup, ROLLUP_FILES } from "./rollup.ts";

/**
 * `sliceMs`: how much time a slice has. `settleMs`: how long after a slice's end its last record may come, as a rule.
 * `hotBytes`: size of D1 above which slices are sealed before their end.
 */
export type ArchiveConfig = { sliceMs: number; settleMs: number; hotBytes: number };

/** `skipped`: organisations whose last attempt has failed, which must not keep the others waiting. */
export type ArchiveServices = {
  d1: D1Database;
  bucket: R2Bucket;
  now: () => number;
  config: ArchiveConfig;
  skipped?: Set<string>;
};

/** Rows that one statement removes, for the same reason. */
const REMOVE = 500;
/** Of a part: what is written, compared and removed within one alarm. */
const MAX_ROWS = 100_000;
const MAX_ROLLUP_ROWS = 20_000;
/** A call this young is not sealed, however full D1 is. */
export const FRESH_MS = 60_000;
/** The age of an organisation's oldest row from which it is sealed before its time: parts must not become small. */
const EARLY_MS = 15 * 60_000;
/** Ids of the far future are no call's. */
const FUTURE_MS = 2 * MAX_SLICE_MS;

/**
 * Brings one part of the record a step forward: written, compared with D1 and `sealed`; its rows `removed` from D1. Each
 * step may be interrupted anywhere and run again: an unfinished file is deleted and written anew, and a row is removed only
 * as it stands in the file. Resolves to whether there may be more to do. Throws if a file is not what it should be; its
 * organisation is then skipped.
 */
export async function sealNext(services: ArchiveServices): Promise<boolean> {
  const { d1, now, skipped } = services;
  const unfinished = await findUnfinished(d1, { without: [...(skipped ?? [])] });
  const due = unfinished ?? (await findDue(services));
  if (due === undefined) return false;
  try {
    if ("state" in due) await finishPart(services, due);
    else await writePart(services, await startPart(d1, { ...due, now: now() }), due);
  } catch (cause) {
    skipped?.add(due.org);
    throw cause;
  }
  return true;
}

/** Takes one step of an organisation's part whose life has stopped before its end. Resolves to whether there was one. */
export async function finishOne(services: ArchiveServices, org: string): Promise<boolean> {
  const part = await findUnfinished(services.d1, { org });
  if (part !== undefined) await finishPart(services, part);
  return part !== undefined;
}

/** Deletes an unfinished or replaced file; removes the rows that a sealed one has. */
async function finishPart(services: ArchiveServices, part: RecordPart): Promise<void> {
  const { d1, bucket, now } = services;
  if (part.state === "sealed") {
    await removeRows(services, part);
    await markRemoved(d1, part, now());
    return;
  }
  await bucket.delete(filesOf(part));
  await forgetPart(d1, part);
}

/** A slice that has to be sealed. `before`: no id from this one on belongs to the part. */
type Due = { org: string; slice: number; before: string };

/** The slice of the oldest row of an organisation, if its time has come. */
async function findDue({ d1, now, config, skipped }: ArchiveServices): Promise<Due | undefined> {
  const { results, meta } = await d1
    .prepare(OLDEST)
    .bind(firstId("call", now() + FUTURE_MS))
    .all<{ org: string; first: string | null }>();
  const isFull = meta.size_after > config.hotBytes;
  const candidates = results.flatMap(({ org, first }) => {
    if (first === null || skipped?.has(org)) return [];
    const slice = Math.floor(createdAtOf(first) / config.sliceMs) * config.sliceMs;
    const end = slice + config.sliceMs;
    const isOver = end + config.settleMs <= now();
    const isEarly = isFull && createdAtOf(first) <= now() - EARLY_MS;
    const before = isOver ? end : Math.min(end, now() - FRESH_MS);
    return isOver || isEarly ? [{ org, slice, before: firstId("call", before) }] : [];
  });
  return candidates.toSorted((a, b) => a.slice - b.slice)[0];
}

/** The oldest row of each organisation, by one search of the key for each. */
const OLDEST = `${withOrganizations("call_records")}
  SELECT org, (SELECT min(id) FROM call_records WHERE call_records.org = orgs.org AND id < ?1) AS first
  FROM orgs WHERE org IS NOT NULL`;

/** Writes the file of rows that D1 has, and lets it be read from now on. */
async function writePart(services: ArchiveServices, part: RecordPart, { before }: Due): Promise<void> {
  const { d1, now } = services;
  const rows = readHot(d1, part.org, { before });
  const file = await writeFiles(services, part, rows, (group) => findEarlier(services, part.org, group));
  await markSealed(d1, part, file, now());
}

/**
 * Writes a part anew with those of its rows that remain (`rows`, `count` of them), and lets it be read instead. The old files are
 * deleted by `sealNext`.
 */
export async function replacePart(
  services: ArchiveServices,
  old: RecordPart,
  rows: AsyncIterable<StoredRow[]>,
  count: number,
): Promise<void> {
  const { d1, now } = services;
  const { org, slice, startedAt } = old;
  if (count === 0) return await markReplaced(d1, old, undefined);
  const part = await startPart(d1, { org, slice, startedAt, now: now() });
  const file = await writeFiles(services, part, rows, (group) => findEarlier(services, org, group, startedAt));
  if (file.rows !== count) throw new Error(`${part.key}: expected ${count} rows, found ${file.rows}`);
  await markReplaced(d1, old, { part, file, now: now() });
}

/** Writes all files of a part, and compares them with what was read. `findReplaced`: of rows that other sums have already. */
async function writeFiles(
  { bucket }: ArchiveServices,
  part: RecordPart,
  groups: AsyncIterable<StoredRow[]>,
  findReplaced: (rows: readonly StoredRow[]) => Promise<StoredRow[]>,
): Promise<WrittenFile & Contents> {
  const file = new ParquetFile(bucket, part.key, CALL_FILES);
  const read = new Tally();
  const rollup = new Rollup();
  try {
    for await (const rows of groups) {
      await file.write(rows);
      read.add(rows);
      rollup.add(rows);
      for (const earlier of await findReplaced(rows)) rollup.subtract(earlier);
      if (read.contents.rows >= MAX_ROWS || rollup.size >= MAX_ROLLUP_ROWS) break;
    }
    const written = await file.finish();
    const stored = await tallyFile(bucket, part.key);
    if (stored.summary !== read.summary)
      throw new Error(`${part.key}: expected ${read.summary} as was read, found ${stored.summary}`);
    const contents = { ...written, ...read.contents };
    await writeRollup(bucket, rollupKeyOf(part), rollup);
    await bucket.put(manifestKeyOf(part), JSON.stringify(toManifest(part, contents), null, 2));
    return contents;
  } catch (cause) {
    await file.abort().catch(() => {});
    throw cause;
  }
}

async function writeRollup(bucket: R2Bucket, key: string, { rows }: Rollup): Promise<void> {
  const file = new ParquetFile(bucket, key, ROLLUP_FILES);
  try {
    await file.write(rows);
    await file.finish();
  } catch (cause) {
    await file.abort().catch(() => {});
    throw cause;
  }
}

async function tallyFile(bucket: R2Bucket, key: string): Promise<Tally> {
  const file = await openFile(bucket, key);
  if (file === undefined) throw new Error(`${key}: there is no such file`);
  const tally = new Tally();
  const columns = ["id", "changes", "tokens_fresh", "tokens_output", "cost_micros_usd", "latency_total_ms"];
  for await (const rows of readGroups(file, { columns })) tally.add(rows.map(fromFileRow));
  return tally;
}

/** What a file and the rows it was made of have to agree on. */
class Tally {
  readonly #sums = { rows: 0, changes: 0, fresh: 0, output: 0, cost: 0, latency: 0 };
  #first = "";
  #last = "";

  add(rows: readonly StoredRow[]): void {
    const sums = this.#sums;
    for (const row of rows) {
      sums.rows++;
      sums.changes += Number(row.changes);
      sums.fresh += Number(row.tokens_fresh);
      sums.output += Number(row.tokens_output);
      sums.cost += Number(row.cost_micros_usd);
      sums.latency += Number(row.latency_total_ms);
    }
    if (this.#first === "") this.#first = String(rows[0]?.id ?? "");
    this.#last = String(rows.at(-1)?.id ?? this.#last);
  }

  get contents(): Contents {
    return { rows: this.#sums.rows, firstId: this.#first, lastId: this.#last };
  }

  get summary(): string {
    return JSON.stringify({ ...this.#sums, ...this.contents });
  }
}

/**
 * Removes the rows that the file has, as it has them, and what was noted of them: one that came or changed since stays, and gets a
 * later part.
 */
async function removeRows({ d1, bucket }: ArchiveServices, part: RecordPart): Promise<void> {
  const { org, key } = part;
  const range = { from: part.firstId!, to: part.lastId! };
  const file = await openFile(bucket, key);
  if (file === undefined) throw new Error(`${key}: there is no such file, but its rows may be removed`);
  const left = await d1.batch<{ first: string | null }>([findHot(d1, org, range), findNoted(d1, org, range)]);
  const firsts = left.flatMap(({ results }) => results[0]?.first ?? []);
  if (firsts.length === 0) return;
  const ids = { from: firsts.toSorted()[0]!, to: range.to };
  for await (const group of readGroups(file, { columns: ["id", "changes"], ids })) {
    const rows = group.map(fromFileRow);
    for (let i = 0; i < rows.length; i += REMOVE)
      for (const same of groupByChanges(rows.slice(i, i + REMOVE), org))
        await d1.batch([removeHot(d1, same), forgetNoted(d1, same)]);
  }
}

type SameChanges = { org: string; changes: number; ids: string[] };

const groupByChanges = (rows: readonly StoredRow[], org: string): SameChanges[] =>
  [...Map.groupBy(rows, ({ changes }) => Number(changes))].map(([changes, same]) => ({
    org,
    changes,
    ids: same.map(({ id }) => String(id)),
  }));

const findHot = (d1: D1Database, org: string, ids: { from: string; to: string }): D1PreparedStatement =>
  d1
    .prepare("SELECT min(id) AS first FROM call_records WHERE org = ?1 AND id BETWEEN ?2 AND ?3")
    .bind(org, ids.from, ids.to);

const removeHot = (d1: D1Database, { org, changes, ids }: SameChanges): D1PreparedStatement =>
  d1.prepare(REMOVE_ROWS).bind(org, changes, JSON.stringify(ids));

const REMOVE_ROWS =
  "DELETE FROM call_records WHERE org = ?1 AND changes = ?2 AND id IN (SELECT value FROM json_each(?3))";

/** What lies beside a file, for those who read it without the gateway. */
const toManifest = (
  { org, slice, part, key }: RecordPart,
  { rows, bytes, sha256, firstId: first_id, lastId: last_id }: Contents & { bytes: number; sha256: string },
): object => ({
  schema: CALL_FILES.schema,
  file: key,
  org,
  slice: new Date(slice).toISOString(),
  part,
  rows,
  bytes,
  sha256,
  first_id,
  last_id,
});
