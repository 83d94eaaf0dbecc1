import { firstId } from "../../wire/id.ts";
import { ALL_CALLS } from "../old/calls.ts";
import { withOld } from "../old/tables.ts";
import type { StoredRow } from "./columns.ts";
import { fromCell } from "./columns.ts";
import { findEarlier, readHot } from "./hot-calls.ts";
import { openFile, readGroups } from "./parquet-file.ts";
import { listParts, type RecordPart, rollupKeyOf } from "./parts.ts";
import { type GroupColumn, Rollup, ROLLUP_FILES } from "./rollup.ts";
import type { RecordSources } from "./sealed-calls.ts";

/** `from`, `before`: Unix milliseconds, whole hours. */
export type Aggregation = { org: string; from: number; before: number; by: readonly GroupColumn[] };

const TRIES = 3;

/**
 * Sums of an organisation's calls, as `ROLLUP_FILES` has them, by some of its columns: those of files by their files of sums, which
 * have a few rows each, the others by their rows in D1. A call that both have counts once, as D1 has it. Calls of a session that is
 * being erased count until their file is written anew. Throws if files are sealed all the time.
 */
export async function aggregateCalls(sources: RecordSources, aggregation: Aggregation): Promise<StoredRow[]> {
  const { org, from, before, by } = aggregation;
  const ids = { from: firstId("call", from), to: firstId("call", before) };
  let parts = await listParts(sources.d1, org, ids);
  for (let tries = 0; tries < TRIES; tries++) {
    const rollup = new Rollup(by);
    await addHot(sources, aggregation, rollup);
    for (const part of parts) await addSealed(sources, part, aggregation, rollup);
    const now = await listParts(sources.d1, org, ids);
    if (areSame(parts, now)) return rollup.rows.filter(({ calls }) => calls !== 0);
    parts = now;
  }
  throw new Error("the files of the record changed while they were read");
}

const areSame = (some: readonly RecordPart[], others: readonly RecordPart[]): boolean =>
  some.length === others.length &&
  some.every(({ key, state }, i) => key === others[i]!.key && state === others[i]!.state);

async function addHot(sources: RecordSources, { org, from, before }: Aggregation, rollup: Rollup): Promise<void> {
  const ids = { from: firstId("call", from), before: firstId("call", before) };
  const read = async (calls: string): Promise<void> => {
    for await (const rows of readHot(sources.d1, org, { ...ids, calls })) {
      rollup.add(rows);
      for (const earlier of await findEarlier(sources, org, rows)) rollup.subtract(earlier);
    }
  };
  await withOld(
    () => read(ALL_CALLS),
    () => read("call_records"),
  );
}

async function addSealed(
  { bucket }: RecordSources,
  part: RecordPart,
  { from, before }: Aggregation,
  rollup: Rollup,
): Promise<void> {
  const key = rollupKeyOf(part);
  const file = await openFile(bucket, key);
  if (file === undefined) throw new Error(`${key}: there is no such file`);
  for await (const group of readGroups(file))
    for (const cells of group) {
      const row: StoredRow = {};
      for (const { name, kind } of ROLLUP_FILES.columns) row[name] = fromCell(kind, cells[name]);
      if (Number(row.hour) >= from && Number(row.hour) < before) rollup.merge(row);
    }
}
