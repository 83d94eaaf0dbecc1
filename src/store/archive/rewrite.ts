import { toFileRow, fromFileRow } from "./call-columns.ts";
import { findChanged, listChanged, layOverChanges } from "./changes.ts";
import type { StoredRow } from "./columns.ts";
import { type OpenFile, readGroups } from "./parquet-file.ts";
import { listParts, MAX_SLICE_MS, type RecordPart } from "./parts.ts";
import { type ArchiveServices, finishOne, replacePart } from "./seal.ts";
import { readSome, requireFile } from "./sealed-calls.ts";

/** How far a pass over what was noted has come. `seen`: keys of files that were looked at. */
export type RewritePass = { org: string; id: string; seen: Set<string> };

export const startPass = (): RewritePass => ({ org: "", id: "", seen: new Set() });

/** Share of a file's rows that have changed, from which it is written anew. */
const CHANGED = 0.01;
/** Calls with something noted whose files are looked at in one step. */
const STEP = 1_000;

/**
 * Takes one step of a pass: writes one file anew of which many rows have changed, or all that have any where D1 is fuller than
 * it should be. Can be interrupted and repeated at any time. Resolves to whether there may be more; `pass` starts again then.
 */
export async function rewriteNext(services: ArchiveServices, pass: RewritePass): Promise<boolean> {
  const { d1 } = services;
  const changed = await findChanged(d1, pass, { ms: MAX_SLICE_MS, limit: STEP });
  if (changed === undefined) {
    Object.assign(pass, startPass());
    return false;
  }
  const { org, ids } = changed;
  const next = { org, id: ids.at(-1)! };
  try {
    const hasMore = (await finishOne(services, org)) || (await rewriteOne(services, changed, pass.seen));
    if (!hasMore) Object.assign(pass, next);
  } catch (cause) {
    // A failure must not keep others waiting.
    Object.assign(pass, next);
    throw cause;
  }
  return true;
}

/** Writes the first file anew that has some of these calls and has changed enough. Resolves to whether there was one. */
async function rewriteOne(
  services: ArchiveServices,
  { org, ids }: { org: string; ids: readonly string[] },
  seen: Set<string>,
): Promise<boolean> {
  const { d1, config } = services;
  const { meta } = await d1.prepare("SELECT 1").run();
  const share = meta.size_after > config.hotBytes ? 0 : CHANGED;
  const parts = await listParts(d1, org, { from: ids[0]!, to: ids.at(-1)! });
  for (const part of parts.filter(({ key }) => !seen.has(key))) {
    seen.add(part.key);
    if ((await countIn(services, part)) <= share * part.rows!) continue;
    await replacePart(services, part, readChanged(services, part), part.rows!);
    return true;
  }
  return false;
}

/** How many rows of a part have changed, of those whose newest row it has. */
async function countIn(services: ArchiveServices, part: RecordPart): Promise<number> {
  let count = 0;
  for await (const rows of readGroups(await requireFile(services.bucket, part), { columns: ["id"] }))
    count += (await findChangedIn(services, part, rows)).size;
  return count;
}

/** The rows of a part as they are now. */
async function* readChanged(services: ArchiveServices, part: RecordPart): AsyncGenerator<StoredRow[]> {
  for await (const cells of readGroups(await requireFile(services.bucket, part))) {
    const rows = cells.map(fromFileRow);
    const changed = await findChangedIn(services, part, rows);
    const all = await layOverChanges(services.d1, part, rows);
    yield rows.map((row, i) => toFileRow(changed.has(String(row.id)) ? all[i]! : row));
  }
}

/** The changed ones of some rows of a part, in their order; without those that a later part has, whose row is the newer one. */
async function findChangedIn(
  { d1, bucket }: ArchiveServices,
  { org, startedAt }: RecordPart,
  rows: readonly Record<string, unknown>[],
): Promise<Set<string>> {
  const ids = { from: String(rows[0]!.id), to: String(rows.at(-1)!.id) };
  const own = new Set(rows.map(({ id }) => String(id)));
  const changed = new Set((await listChanged(d1, org, ids)).filter((id) => own.has(id)));
  if (changed.size === 0) return changed;
  for (const later of await listParts(d1, org, ids))
    if (later.startedAt > startedAt)
      for (const { id } of await readSome(bucket, later, changed, ["id"])) changed.delete(String(id));
  return changed;
}

/** Replaces a part by one with those of its rows alone that may stay. Resolves to the number of others. */
export async function keepOnly(
  services: ArchiveServices,
  part: RecordPart,
  mayStay: (row: { id: string; session_id: string }) => boolean,
): Promise<number> {
  const file = await requireFile(services.bucket, part);
  const stays = ({ id, session_id }: Record<string, unknown>): boolean =>
    mayStay({ id: String(id), session_id: String(session_id) });
  let left = 0;
  for await (const rows of readGroups(file, { columns: ["id", "session_id"] })) left += rows.filter(stays).length;
  if (left < part.rows!) await replacePart(services, part, readSuch(file, stays), left);
  return part.rows! - left;
}

async function* readSuch(
  file: OpenFile,
  stays: (cells: Record<string, unknown>) => boolean,
): AsyncGenerator<StoredRow[]> {
  for await (const cells of readGroups(file)) {
    const rows = cells.filter(stays).map((row) => toFileRow(fromFileRow(row)));
    if (rows.length > 0) yield rows;
  }
}
