import { ADDED_COLUMNS, addedTo, type AddedToCall, fromStoredRow } from "../call-rows.ts";
import { ALL_CALLS } from "../old/calls.ts";
import { withOld } from "../old/tables.ts";
import type { CallRecord } from "../records.ts";
import { type Erasure, isErasedBy, selectRequested } from "../retention/erasures.ts";
import { fromFileRow } from "./call-columns.ts";
import { layOverChanges } from "./changes.ts";
import type { StoredRow } from "./columns.ts";
import { openFile, type OpenFile, type ReadOptions, readGroups } from "./parquet-file.ts";
import { listParts, type RecordPart, selectParts } from "./parts.ts";

export type RecordSources = { d1: D1Database; bucket: R2Bucket };

/** The row of a call in the files, as it was last sealed, with what has been added to it since. */
export async function findSealedRow(
  { d1, bucket }: RecordSources,
  org: string,
  id: string,
): Promise<StoredRow | undefined> {
  return await fromParts(d1, org, { from: id, to: id }, async (parts) => {
    let newest: StoredRow | undefined;
    for (const part of parts)
      for (const row of await layOverChanges(d1, part, await readSome(bucket, part, new Set([id]))))
        if (newest === undefined || Number(row.changes) > Number(newest.changes)) newest = row;
    return newest;
  });
}

/** Of a call in a file: when it ended, and what was added to its row. */
export type SealedVersion = { endedAt: number; added: AddedToCall };

export const keyOfCall = ({ org, id }: Pick<CallRecord, "org" | "id">): string => `${org} ${id}`;

const VERSION_COLUMNS = ["id", "ended_at", "changes", ...ADDED_COLUMNS.map(({ name }) => name)];

/** Those of these calls that files have, by `keyOfCall`. Files are opened one at a time. */
export async function findSealedVersions(
  { d1, bucket }: RecordSources,
  calls: readonly Pick<CallRecord, "org" | "id">[],
): Promise<ReadonlyMap<string, SealedVersion>> {
  const found = new Map<string, SealedVersion>();
  for (const [org, own] of Map.groupBy(calls, (call) => call.org)) {
    const ids = own.map(({ id }) => id).toSorted();
    await fromParts(d1, org, { from: ids[0]!, to: ids.at(-1)! }, async (parts) => {
      for (const part of parts) {
        const inRange = new Set(ids.filter((id) => id >= part.firstId! && id <= part.lastId!));
        if (inRange.size === 0) continue;
        for (const row of await readSome(bucket, part, inRange, VERSION_COLUMNS)) {
          const key = keyOfCall({ org, id: String(row.id) });
          const added = addedTo(fromStoredRow(row));
          if (added.changes >= (found.get(key)?.added.changes ?? 0))
            found.set(key, { endedAt: Number(row.ended_at), added });
        }
      }
    });
  }
  return found;
}

/** Reads the parts with ids of a range, the newest first; once more if one of them was replaced meanwhile. */
async function fromParts<T>(
  d1: D1Database,
  org: string,
  ids: { from: string; to: string },
  read: (parts: RecordPart[]) => Promise<T>,
): Promise<T> {
  const list = async (): Promise<RecordPart[]> => await listParts(d1, org, ids);
  let parts = await list();
  for (;;)
    try {
      return await read(parts);
    } catch (cause) {
      const keys = new Set(parts.map(({ key }) => key));
      parts = await list();
      if (keys.size === parts.length && parts.every(({ key }) => keys.has(key))) throw cause;
    }
}

/** The rows of a part with these ids. */
export async function readSome(
  bucket: R2Bucket,
  part: RecordPart,
  ids: ReadonlySet<string>,
  columns?: string[],
): Promise<StoredRow[]> {
  if (ids.size === 0) return [];
  const sorted = [...ids].toSorted();
  const range = { from: sorted[0]!, to: sorted.at(-1)! };
  const rows: StoredRow[] = [];
  for await (const group of readGroups(await requireFile(bucket, part), { ids: range, ...(columns && { columns }) }))
    for (const cells of group) if (ids.has(String(cells.id))) rows.push(fromFileRow(cells));
  return rows;
}

export async function requireFile(bucket: R2Bucket, { key }: RecordPart): Promise<OpenFile> {
  const file = await openFile(bucket, key);
  if (file === undefined) throw new Error(`${key}: there is no such file`);
  return file;
}

/** Rows that one query reads of D1. */
const PAGE = 1_000;

/**
 * All rows of an organisation with an id from `from` on and before `before`, each once and as it was last changed, whether D1
 * or a file has it. Windows of ids follow one another; for each, D1 says in one transaction which rows it has and which files
 * have others. `columns`: of the files; `id` is always among them. Throws if a file is replaced while it is read.
 */
export async function* scanRows(
  sources: RecordSources,
  { org, from, before, columns }: { org: string; from: string; before: string; columns?: string[] },
): AsyncGenerator<StoredRow[]> {
  const { d1 } = sources;
  const selected = columns && [...new Set(["id", "session_id", "changes", ...columns])];
  for (let start = from; start < before;) {
    const readFrom = async (calls: string): Promise<D1Result<StoredRow>[]> =>
      await d1.batch<StoredRow>([
        d1.prepare(readPage(calls)).bind(org, start, before, PAGE),
        selectParts(d1, org, { from: start, to: before }),
        selectRequested(d1, org),
      ]);
    const [hot, sealed, erased] = await withOld(
      () => readFrom(ALL_CALLS),
      () => readFrom("call_records"),
    );
    const erasures = erased!.results as unknown as Erasure[];
    const isErased = (row: StoredRow): boolean =>
      erasures.some((erasure) => isErasedBy(erasure, { id: String(row.id), session_id: String(row.session_id) }));
    const all = hot!.results;
    const rows = all.filter((row) => !isErased(row));
    const last = all.length < PAGE ? undefined : String(all.at(-1)!.id);
    const end = last === undefined ? before : `${last}\0`;
    const parts = (sealed!.results as unknown as RecordPart[]).filter(({ firstId }) => firstId! < end);
    if (rows.length > 0) yield rows;
    const known = new Set(all.map(({ id }) => String(id)));
    const options = { ids: { from: start, to: last ?? before }, ...(selected && { columns: selected }) };
    const isRead = (row: StoredRow): boolean => String(row.id) < end && !known.has(String(row.id)) && !isErased(row);
    yield* readParts(sources, parts, options, isRead);
    start = end;
  }
}

const readPage = (calls: string): string =>
  `SELECT * FROM ${calls} WHERE org = ?1 AND id >= ?2 AND id < ?3 ORDER BY id LIMIT ?4`;

/** The rows of parts, the newest of which comes first: of a call that several have, the newest row. */
async function* readParts(
  { d1, bucket }: RecordSources,
  parts: readonly RecordPart[],
  options: ReadOptions,
  isRead: (row: StoredRow) => boolean,
): AsyncGenerator<StoredRow[]> {
  // Only ids that a part behind may have as well.
  const given = new Set<string>();
  for (const [i, part] of parts.entries()) {
    const behind = parts.slice(i + 1);
    for await (const group of readGroups(await requireFile(bucket, part), options)) {
      const all = await layOverChanges(d1, part, group.map(fromFileRow));
      const rows = all.filter((row) => isRead(row) && !given.has(String(row.id)));
      for (const { id } of rows)
        if (behind.some(({ firstId, lastId }) => firstId! <= String(id) && lastId! >= String(id)))
          given.add(String(id));
      if (rows.length > 0) yield rows;
    }
  }
}
