import { and, eq, getTableColumns } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";
import { toCallRecord } from "../call-rows.ts";
import type { CallRecord } from "../records.ts";
import { callRecords } from "../schema.ts";
import { oldCalls } from "./schema.ts";
import { orNone } from "./tables.ts";

/** The record of a call in the table of earlier versions. */
export async function findOldCall(d1: D1Database, org: string, id: string): Promise<CallRecord | undefined> {
  const isIt = and(eq(oldCalls.id, id), eq(oldCalls.org, org));
  const [found] = await orNone(() => drizzle(d1).select().from(oldCalls).where(isIt).limit(1));
  if (found === undefined) return undefined;
  const { runId: _, turnId, ...row } = found;
  return toCallRecord({ ...row, ...NOTHING_ADDED, hasTurn: turnId !== null, conversation: null });
}

const NOTHING_ADDED = {
  assessment: null,
  feedbackScore: null,
  auditSeq: null,
  auditSalt: null,
  auditLeaf: null,
  auditSignature: null,
  changes: 0,
  safety: null,
  runId: null,
};

const columnsOf = (table: SQLiteTable): string[] => Object.values(getTableColumns(table)).map(({ name }) => name);
const columns = columnsOf(callRecords);
const oldColumns = new Set(columnsOf(oldCalls));
/** Columns that both tables have. Each call was a run of its own then, which is not stored any more. */
export const SHARED_COLUMNS = columns.filter((name) => oldColumns.has(name) && name !== "run_id");
const shared = new Set(SHARED_COLUMNS);
const others: Record<string, string> = { has_turn: "turn_id IS NOT NULL", changes: "0" };

/** SQL: all calls in D1 as rows of the new table. */
export const ALL_CALLS = `(SELECT ${columns.join()} FROM call_records UNION ALL
  SELECT ${columns.map((name) => (shared.has(name) ? name : `${others[name] ?? "NULL"} AS ${name}`)).join()} FROM calls
  WHERE NOT EXISTS (SELECT 1 FROM call_records WHERE call_records.org = calls.org AND call_records.id = calls.id))`;
