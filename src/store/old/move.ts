import { getTableColumns, getTableName } from "drizzle-orm";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";
import { sessionRecords } from "../schema.ts";
import { SHARED_COLUMNS } from "./calls.ts";
import { oldCalls, oldRuns, oldSessions } from "./schema.ts";
import { markDropped, orNone, wereDropped } from "./tables.ts";

/** Rows that are moved at once: D1 is busy for less than 50 ms with them and answers nothing else meanwhile. */
const STEP = 500;

/**
 * Moves some rows of the old tables to the new ones, each step in one transaction. Resolves to whether rows may be left. Tables
 * that are empty are dropped with the next run, a day later: objects of an earlier version write to them for some minutes after a
 * deployment. Can be interrupted and repeated at any time.
 */
export async function moveOldRecords(d1: D1Database): Promise<boolean> {
  if (wereDropped()) return false;
  if (!(await hasOldTables(d1))) {
    markDropped();
    return false;
  }
  if (!(await hasRows(d1))) {
    await d1.batch([...MOVES, ...DROPS].map((query) => d1.prepare(query)));
    markDropped();
    return false;
  }
  return await moveOldRows(d1);
}

/** The same without dropping tables. */
export async function moveOldRows(d1: D1Database): Promise<boolean> {
  if (wereDropped() || !(await hasOldTables(d1)) || !(await hasRows(d1))) return false;
  await d1.batch(MOVES.map((query) => d1.prepare(query)));
  return await hasRows(d1);
}

/** Moves the row of one call, if it is in the old table. */
export async function moveOldCall(d1: D1Database, { org, id }: { org: string; id: string }): Promise<void> {
  const isIt = "calls.org = ?1 AND calls.id = ?2";
  const queries = [moveCalls(isIt), `DELETE FROM calls WHERE ${isIt}`];
  await orNone(async () => await d1.batch(queries.map((query) => d1.prepare(query).bind(org, id))));
}

const OLD_TABLES: readonly SQLiteTable[] = [oldCalls, oldRuns, oldSessions];

const DROPS = OLD_TABLES.map((table) => `DROP TABLE IF EXISTS ${getTableName(table)}`);

async function hasRows(d1: D1Database): Promise<boolean> {
  const results = await d1.batch(COUNTS.map((query) => d1.prepare(query)));
  return results.some(({ results: rows }) => rows.length > 0);
}

const hasOldTables = async (d1: D1Database): Promise<boolean> =>
  (await d1.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'calls'").first()) !== null;

const sessionColumns = Object.values(getTableColumns(sessionRecords))
  .map(({ name }) => name)
  .join();
const firstOf = (table: string): string => `SELECT id FROM ${table} ORDER BY id LIMIT ${STEP}`;

/** A moved row is never over one that the new table has: that one is newer. Rows that follow others are few. */
const moveCalls = (where: string): string =>
  `INSERT INTO call_records (${SHARED_COLUMNS.join()}, has_turn)
   SELECT ${SHARED_COLUMNS.join()}, turn_id IS NOT NULL FROM calls WHERE ${where}
   ON CONFLICT (org, id) DO NOTHING`;

const MOVES = [
  moveCalls(`id IN (${firstOf("calls")})`),
  `DELETE FROM calls WHERE id IN (${firstOf("calls")})`,
  `INSERT INTO session_records (${sessionColumns}) SELECT ${sessionColumns} FROM sessions
   WHERE rowid IN (SELECT rowid FROM sessions ORDER BY rowid LIMIT ${STEP})
   ON CONFLICT (org, id) DO UPDATE SET ${[
     "status",
     "phase",
     "head",
     "turns",
     "metadata",
     "origin",
     "revision",
     "updated_at",
   ]
     .map((name) => `${name} = excluded.${name}`)
     .join()}
   WHERE session_records.created_at = excluded.created_at AND session_records.revision < excluded.revision`,
  `DELETE FROM sessions WHERE rowid IN (SELECT rowid FROM sessions ORDER BY rowid LIMIT ${STEP})`,
];

const COUNTS = ["SELECT 1 FROM calls LIMIT 1", "SELECT 1 FROM sessions LIMIT 1"];
