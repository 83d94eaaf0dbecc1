import { and, asc, desc, eq, getTableColumns, gt, lt, max, notInArray, or, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { createdAtOf } from "../../wire/id.ts";
import { recordParts } from "../schema.ts";
import type { WrittenFile } from "./parquet-file.ts";

/** A file of records, and where it is in its life. */
export type RecordPart = typeof recordParts.$inferSelect;

/** No slice is longer: the parts that can have a record of a time start at most so long before it. */
export const MAX_SLICE_MS = 24 * 60 * 60_000;

const SOURCE = "calls";

const isPart = ({ org, slice, part }: Pick<RecordPart, "org" | "slice" | "part">) =>
  and(
    eq(recordParts.source, SOURCE),
    eq(recordParts.org, org),
    eq(recordParts.slice, slice),
    eq(recordParts.part, part),
  );

/**
 * The part whose life has stopped before its end, if there is one; a replaced one before that which replaces it. `which`: of one
 * organisation, or of all without some.
 */
export async function findUnfinished(
  d1: D1Database,
  which: { org: string } | { without: string[] },
): Promise<RecordPart | undefined> {
  const { startedAt, org, state } = recordParts;
  const isOf = "org" in which ? eq(org, which.org) : notInArray(org, which.without);
  const isUnfinished = and(sql`state <> 'removed'`, isOf);
  return (
    await drizzle(d1).select().from(recordParts).where(isUnfinished).orderBy(asc(startedAt), asc(state)).limit(1)
  )[0];
}

/**
 * Starts the next part of a slice, later than all others of it: of a call that several have, the one that was started last has
 * the newest row. `startedAt`: that of a part which it replaces.
 */
export async function startPart(
  d1: D1Database,
  { org, slice, now, startedAt }: { org: string; slice: number; now: number; startedAt?: number },
): Promise<RecordPart> {
  const [last] = await drizzle(d1)
    .select({ part: max(recordParts.part), startedAt: max(recordParts.startedAt) })
    .from(recordParts)
    .where(and(eq(recordParts.source, SOURCE), eq(recordParts.org, org), eq(recordParts.slice, slice)));
  const part = (last?.part ?? 0) + 1;
  const row = {
    source: SOURCE,
    org,
    slice,
    part,
    state: "writing",
    key: keyOf(org, slice, part),
    startedAt: startedAt ?? Math.max(now, (last?.startedAt ?? 0) + 1),
  } as const;
  return (await drizzle(d1).insert(recordParts).values(row).returning())[0]!;
}

export type Contents = { rows: number; firstId: string; lastId: string };

/** The file is complete, and has what D1 has: from now on it is read. */
export const markSealed = async (
  d1: D1Database,
  part: RecordPart,
  file: WrittenFile & Contents,
  sealedAt: number,
): Promise<unknown> =>
  await drizzle(d1)
    .update(recordParts)
    .set({ state: "sealed", ...file, sealedAt })
    .where(and(isPart(part), eq(recordParts.state, "writing")));

export const markRemoved = async (d1: D1Database, part: RecordPart, removedAt: number): Promise<unknown> =>
  await drizzle(d1).update(recordParts).set({ state: "removed", removedAt }).where(isPart(part));

/** The new part is read instead of the old one. Without a replacement, nothing of the old one remains. */
export async function markReplaced(
  d1: D1Database,
  old: RecordPart,
  replacement: { part: RecordPart; file: WrittenFile & Contents; now: number } | undefined,
): Promise<void> {
  const db = drizzle(d1);
  const replace = db.update(recordParts).set({ state: "replaced" }).where(isPart(old));
  if (replacement === undefined) return void (await replace);
  const { part, file, now } = replacement;
  const sealed = { state: "sealed", ...file, sealedAt: now } as const;
  await db.batch([db.update(recordParts).set(sealed).where(isPart(part)), replace]);
}

/** Forgets a part whose files are deleted, if it still is in the state in which it was read. */
export const forgetPart = async (
  d1: D1Database,
  part: Pick<RecordPart, "org" | "slice" | "part" | "state">,
): Promise<unknown> =>
  await drizzle(d1)
    .delete(recordParts)
    .where(and(isPart(part), eq(recordParts.state, part.state)));

/** The first part behind a place whose file alone has its rows. */
export async function findAfter(
  d1: D1Database,
  org: string,
  { slice, part }: Pick<RecordPart, "slice" | "part">,
): Promise<RecordPart | undefined> {
  const { slice: slices, part: parts } = recordParts;
  const isBehind = or(gt(slices, slice), and(eq(slices, slice), gt(parts, part)));
  const [next] = await drizzle(d1)
    .select()
    .from(recordParts)
    .where(and(eq(recordParts.source, SOURCE), eq(recordParts.org, org), eq(recordParts.state, "removed"), isBehind))
    .orderBy(asc(slices), asc(parts))
    .limit(1);
  return next;
}

/** The parts that may have records with ids in this range, both included, the newest first. */
export const listParts = async (
  d1: D1Database,
  org: string,
  ids: { from: string; to: string },
): Promise<RecordPart[]> => (await selectParts(d1, org, ids).all<RecordPart>()).results;

/** The same as a statement, for a transaction. No slice is longer than a day, so the key bounds what is looked at. */
export const selectParts = (d1: D1Database, org: string, ids: { from: string; to: string }): D1PreparedStatement =>
  d1.prepare(SELECT_PARTS).bind(SOURCE, org, createdAtOf(ids.from) - MAX_SLICE_MS, ids.to, ids.from);

const COLUMNS = Object.entries(getTableColumns(recordParts)).map(([member, { name }]) => `${name} AS ${member}`);

const SELECT_PARTS = `SELECT ${COLUMNS.join()} FROM record_parts
  WHERE source = ?1 AND org = ?2 AND slice > ?3 AND state IN ('sealed', 'removed') AND first_id <= ?4 AND last_id >= ?5
  ORDER BY started_at DESC, part DESC`;

/** Parts whose slice has started before a time, and whose files alone have their rows. `without`: keys of others. */
export const listOlder = async (
  d1: D1Database,
  org: string,
  { before, without, limit }: { before: number; without: readonly string[]; limit: number },
): Promise<RecordPart[]> => {
  const { source, org: owner, slice, state, key } = recordParts;
  const isOther = sql`${key} NOT IN (SELECT value FROM json_each(${JSON.stringify(without)}))`;
  const isOlder = and(eq(source, SOURCE), eq(owner, org), lt(slice, before), eq(state, "removed"), isOther);
  return await drizzle(d1).select().from(recordParts).where(isOlder).limit(limit);
};

/** Parts of all organisations, the newest first. */
export const listAllParts = async (d1: D1Database, limit: number): Promise<RecordPart[]> =>
  await drizzle(d1).select().from(recordParts).orderBy(desc(recordParts.startedAt)).limit(limit);

/** The key of a part's file in R2. */
const keyOf = (org: string, slice: number, part: number): string => {
  const [date, time] = new Date(slice).toISOString().split("T") as [string, string];
  return `records/v1/calls/org=${org}/date=${date}/${time.slice(0, 5).replace(":", "")}-${part}.parquet`;
};

/** Readers of a folder leave out files whose names start with an underscore. */
export const manifestKeyOf = ({ key }: Pick<RecordPart, "key">): string => key.replace(/([^/]*)\.parquet$/, "_$1.json");

export const rollupKeyOf = ({ key }: Pick<RecordPart, "key">): string => key.replace("/calls/", "/call_rollups/");

/** The keys of all that a part has in R2. */
export const filesOf = (part: Pick<RecordPart, "key">): string[] => [part.key, manifestKeyOf(part), rollupKeyOf(part)];
