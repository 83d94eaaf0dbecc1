import { createdAtOf } from "../../wire/id.ts";
import { fromFileRow } from "./call-columns.ts";
import type { StoredRow } from "./columns.ts";
import { openFile, readGroups } from "./parquet-file.ts";
import { listParts } from "./parts.ts";

export type RecordSources = { d1: D1Database; bucket: R2Bucket };

/** The row of a call in the files, as it was last sealed. */
export async function findSealedRow(
  { d1, bucket }: RecordSources,
  org: string,
  id: string,
): Promise<StoredRow | undefined> {
  const parts = await listParts(d1, org, { from: id, to: id, since: createdAtOf(id) });
  for (const { key } of parts) {
    const file = await openFile(bucket, key);
    if (file === undefined) throw new Error(`${key}: there is no such file`);
    for await (const [row] of readGroups(file, { ids: { from: id, to: id } }))
      if (row !== undefined) return fromFileRow(row);
  }
  return undefined;
}

/** Rows that one query reads of D1. */
const PAGE = 1_000;

/**
 * All rows of an organisation with an id from `from` on and before `before`, each once and as it was last changed, whether
 * D1 or a file has it. Not in order: those of D1 come first. `columns`: of the files; `id` is always among them.
 */
export async function* scanRows(
  { d1, bucket }: RecordSources,
  { org, from, before, columns }: { org: string; from: string; before: string; columns?: string[] },
): AsyncGenerator<StoredRow[]> {
  const parts = await listParts(d1, org, { from, to: before, since: createdAtOf(from) });
  const isInPart = (id: string): boolean => parts.some(({ firstId, lastId }) => id >= firstId! && id <= lastId!);
  // Of the ids that several places may have, those that were given already.
  const given = new Set<string>();
  for await (const rows of readPages(d1, { org, from, before })) {
    for (const { id } of rows) if (isInPart(String(id))) given.add(String(id));
    yield rows;
  }
  for (const { key, part, slice } of parts) {
    const file = await openFile(bucket, key);
    if (file === undefined) throw new Error(`${key}: there is no such file`);
    const mayBeOlder = parts.some((other) => other.slice === slice && other.part < part);
    const selected = columns && [...new Set(["id", ...columns])];
    for await (const group of readGroups(file, { ids: { from, to: before }, ...(selected && { columns: selected }) })) {
      const rows = group.map(fromFileRow).filter(({ id }) => String(id) < before && !given.has(String(id)));
      if (mayBeOlder) for (const { id } of rows) given.add(String(id));
      if (rows.length > 0) yield rows;
    }
  }
}

async function* readPages(
  d1: D1Database,
  { org, from, before }: { org: string; from: string; before: string },
): AsyncGenerator<StoredRow[]> {
  const query = "SELECT * FROM call_records WHERE org = ?1 AND id >= ?2 AND id < ?3 ORDER BY id LIMIT ?4";
  for (let next = from; ;) {
    const { results } = await d1.prepare(query).bind(org, next, before, PAGE).all<StoredRow>();
    if (results.length > 0) yield results;
    if (results.length < PAGE) return;
    next = `${String(results.at(-1)!.id)}\0`;
  }
}
