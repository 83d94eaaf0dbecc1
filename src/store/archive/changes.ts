import { createdAtOf } from "../../wire/id.ts";
import { isNotErased } from "../retention/erasures.ts";
import type { StoredRow } from "./columns.ts";
import type { RecordPart } from "./parts.ts";

/** What is added to a call's row after its end: values by their columns, JSON as text. Null takes a value away. */
export type CallPatch = { assessment?: string | null; feedback_score?: number | null };

type Call = { org: string; id: string };

/** `changes`: those that the row has with the patch. */
type RecordChange = { id: string; patch: string; changes: number };

const PATCHED = ["assessment", "feedback_score"] as const satisfies (keyof CallPatch)[];

/** The values of a patch, which is an SQL expression, over those of a row. */
const withPatch = (patch: string): string =>
  PATCHED.map(
    (name) =>
      `${name} = CASE WHEN json_type(${patch}, '$.${name}') IS NULL THEN ${name} ELSE ${patch} ->> '$.${name}' END`,
  ).join();

/** Changes the row that D1 has of a call. */
export const changeHot = (d1: D1Database, { org, id }: Call, patch: CallPatch): D1PreparedStatement =>
  d1.prepare(CHANGE_HOT).bind(org, id, JSON.stringify(patch));

const CHANGE_HOT = `UPDATE call_records SET ${withPatch("?3")}, changes = changes + 1 WHERE org = ?1 AND id = ?2`;

/** Notes a change of a row that a file has; D1's own row, if there is one by now, is changed instead. */
export async function noteChange(
  d1: D1Database,
  call: Call & { sessionId: string; changes: number },
  patch: CallPatch,
  now: number,
): Promise<void> {
  const { org, id, sessionId, changes } = call;
  const note = d1.prepare(NOTE).bind(org, id, sessionId, JSON.stringify(patch), changes, now, createdAtOf(id));
  await d1.batch([changeHot(d1, call, patch), note]);
}

/** A later patch over an earlier one, member by member: `json_patch` would lose a null. */
const MERGED = `(SELECT json_group_object(key, value) FROM (
    SELECT key, value FROM json_each(record_changes.patch) WHERE key NOT IN (SELECT key FROM json_each(excluded.patch))
    UNION ALL SELECT key, value FROM json_each(excluded.patch)))`;

const NOTE = `INSERT INTO record_changes (org, id, session_id, patch, changes, changed_at)
  SELECT ?1, ?2, ?3, ?4, ?5, ?6
  WHERE NOT EXISTS (SELECT 1 FROM call_records WHERE org = ?1 AND id = ?2)
    AND ${isNotErased({ org: "?1", session: "?3", createdAt: "?7" })}
  ON CONFLICT (org, id) DO UPDATE SET
    patch = ${MERGED}, changes = record_changes.changes + 1, changed_at = excluded.changed_at`;

/** Moves what was noted of calls to their rows in D1, which are complete at any time. For a transaction. */
export function moveChanges(d1: D1Database, calls: readonly Call[]): D1PreparedStatement[] {
  if (calls.length === 0) return [];
  const ids = JSON.stringify(calls.map(({ org, id }) => ({ org, id })));
  return [d1.prepare(MOVE).bind(ids), d1.prepare(REMOVE_MOVED).bind(ids)];
}

const THESE = "(SELECT value ->> '$.org', value ->> '$.id' FROM json_each(?1))";

const MOVE = `UPDATE call_records
  SET ${withPatch("noted.patch")}, changes = max(call_records.changes, noted.changes) + 1
  FROM record_changes AS noted
  WHERE (noted.org, noted.id) IN ${THESE} AND call_records.org = noted.org AND call_records.id = noted.id`;

const REMOVE_MOVED = `DELETE FROM record_changes WHERE (org, id) IN ${THESE}
  AND EXISTS (SELECT 1 FROM call_records WHERE call_records.org = record_changes.org AND call_records.id = record_changes.id)`;

/** Rows of a part, in the order of their ids, as they are with what has been added to them since. */
export async function layOverChanges(
  d1: D1Database,
  part: RecordPart,
  rows: readonly StoredRow[],
): Promise<StoredRow[]> {
  const changes = await readChanges(d1, part, rows);
  if (changes.size === 0) return [...rows];
  return rows.map((row) => layOver(row, changes.get(String(row.id))));
}

function layOver(row: StoredRow, change: RecordChange | undefined): StoredRow {
  if (change === undefined) return row;
  const changes = Math.max(Number(row.changes ?? 0), change.changes);
  return { ...row, ...(JSON.parse(change.patch) as CallPatch), changes };
}

/**
 * What was noted of rows that were read of a part, by their ids. Throws if the part is not read any more: what was noted may be in
 * the file that replaces it by now.
 */
async function readChanges(
  d1: D1Database,
  { org, key, slice, part }: RecordPart,
  rows: readonly StoredRow[],
): Promise<ReadonlyMap<string, RecordChange>> {
  const [changes, parts] = await d1.batch<RecordChange>([
    d1.prepare(READ).bind(org, rows[0]?.id ?? "", rows.at(-1)?.id ?? ""),
    d1.prepare(IS_READ).bind(org, slice, part),
  ]);
  if (parts!.results.length === 0) throw new Error(`${key}: the file was replaced while it was read`);
  return new Map(changes!.results.map((change) => [change.id, change]));
}

const READ = "SELECT id, patch, changes FROM record_changes WHERE org = ?1 AND id BETWEEN ?2 AND ?3";
const IS_READ = `SELECT 1 FROM record_parts
  WHERE source = 'calls' AND org = ?1 AND slice = ?2 AND part = ?3 AND state IN ('sealed', 'removed')`;

/** Ids of some calls with something noted, of one organisation and of less than so much time, which follow a place. */
export async function findChanged(
  d1: D1Database,
  after: Call,
  { ms, limit }: { ms: number; limit: number },
): Promise<{ org: string; ids: string[] } | undefined> {
  const first = await d1.prepare(NEXT).bind(after.org, after.id).first<Call>();
  if (first === null) return undefined;
  const end = createdAtOf(first.id) + ms;
  const { results } = await d1.prepare(NEXT_IDS).bind(first.org, first.id, limit).all<{ id: string }>();
  return { org: first.org, ids: results.map(({ id }) => id).filter((id) => createdAtOf(id) < end) };
}

const NEXT = "SELECT org, id FROM record_changes WHERE (org, id) > (?1, ?2) ORDER BY org, id LIMIT 1";
const NEXT_IDS = "SELECT id FROM record_changes WHERE org = ?1 AND id >= ?2 ORDER BY id LIMIT ?3";

/** The ids of calls in a range, both ends included, of which something is noted. */
export async function listChanged(d1: D1Database, org: string, ids: { from: string; to: string }): Promise<string[]> {
  const { results } = await d1.prepare(IDS).bind(org, ids.from, ids.to).all<{ id: string }>();
  return results.map(({ id }) => id);
}

const IDS = "SELECT id FROM record_changes WHERE org = ?1 AND id BETWEEN ?2 AND ?3";

/** Forgets what rows of a file have by now, all of which have changed so often; what was noted since stays. */
export const forgetNoted = (
  d1: D1Database,
  { org, changes, ids }: { org: string; changes: number; ids: readonly string[] },
): D1PreparedStatement => d1.prepare(FORGET).bind(org, changes, JSON.stringify(ids));

const FORGET = `DELETE FROM record_changes
  WHERE org = ?1 AND changes <= ?2 AND id IN (SELECT value FROM json_each(?3))`;

/** Whether something is noted of calls in a range of ids, both included. */
export const findNoted = (d1: D1Database, org: string, ids: { from: string; to: string }): D1PreparedStatement =>
  d1
    .prepare("SELECT min(id) AS first FROM record_changes WHERE org = ?1 AND id BETWEEN ?2 AND ?3")
    .bind(org, ids.from, ids.to);
