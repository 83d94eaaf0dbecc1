import { and, desc, eq, gte, inArray, isNull, lt, ne, or, type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { firstId, withPrefix } from "../wire/id.ts";
import { withoutNull } from "../wire/json.ts";
import { toCallRecord } from "./call-rows.ts";
import { type CallRecord, RESTARTED, runIdOf, stopReasonOf } from "./records.ts";
import { isNotErased } from "./retention/erasures.ts";
import type { RecordPage, RunRecord } from "./run-records.ts";
import { callRecords, runRecords } from "./schema.ts";

/** A run as lists show it. Absent: the cost of a call that has no known price, and what only the end of a run determines. */
export type ListedRun = Omit<RunRecord, "object" | "org" | "revision" | "usage" | "costMicrosUsd"> &
  Partial<Pick<RunRecord, "usage" | "costMicrosUsd">>;

/** Which runs are listed; all that is given must hold. `from`, `to`: when a run was started, Unix milliseconds. */
export type RunPage = RecordPage & {
  sessionId?: string | undefined;
  keyId?: string | undefined;
  metadata: Record<string, string>;
  from?: number | undefined;
  to?: number | undefined;
};

/**
 * How much later than its id a run is created at most: its servers list their tools in between, and two machines differ in their
 * clocks. Milliseconds.
 */
const MAX_DELAY = 10 * 60_000;

/**
 * A page of an organisation's runs, newest first: those that the gateway has driven, and the plain calls whose records D1 has.
 * Each table is read from the place in its key where the page starts, for as many rows as the page has; the ids of a call and its
 * run differ in their prefix only, so both are in one order. One transaction, so that the page is of one moment.
 */
export async function listRunRecords(d1: D1Database, page: RunPage): Promise<ListedRun[]> {
  const db = drizzle(d1);
  const [driven, plain] = await db.batch([
    db
      .select()
      .from(runRecords)
      .where(
        and(page.status === undefined ? undefined : eq(runRecords.status, page.status), isOn(page, runRecords, "run")),
      )
      .orderBy(desc(runRecords.id))
      .limit(page.limit),
    db
      .select()
      .from(callRecords)
      .where(and(isNull(callRecords.runId), hasStatus(page.status), isOn(page, callRecords, "call")))
      .orderBy(desc(callRecords.id))
      .limit(page.limit),
  ]);
  // A call that is a driven run as well, by an error, is listed as that.
  const runs = [
    ...plain.map((row) => toPlainRun(toCallRecord(row))),
    ...driven.map((row) => withoutNull(row) as ListedRun),
  ];
  const distinct = [...new Map(runs.map((run) => [run.id, run])).values()];
  return distinct.toSorted((a, b) => (a.id < b.id ? 1 : -1)).slice(0, page.limit);
}

/** SQL: that a row is on the page, apart from its status. `prefix`: of the table's ids. */
function isOn(
  { org, before, sessionId, keyId, metadata, from, to }: RunPage,
  table: typeof runRecords | typeof callRecords,
  prefix: string,
): SQL | undefined {
  const of = (column: string): string => `${prefix}_records.${column}`;
  return and(
    eq(table.org, org),
    before === undefined ? undefined : lt(table.id, withPrefix(before, prefix)),
    // Without the hint SQLite prefers the key, and reads all sessions behind the page's start.
    sessionId === undefined ? undefined : sql`unlikely(${table.sessionId} = ${sessionId})`,
    keyId === undefined ? undefined : eq(table.keyId, keyId),
    // The range of the key that may have such rows, then exactly.
    from === undefined ? undefined : gte(table.id, firstId(prefix, Math.max(0, from - MAX_DELAY))),
    from === undefined ? undefined : gte(table.createdAt, from),
    to === undefined ? undefined : lt(table.id, firstId(prefix, Math.max(0, to + MAX_DELAY))),
    to === undefined ? undefined : lt(table.createdAt, to),
    ...Object.entries(metadata).map(
      ([key, value]) =>
        sql`exists (select 1 from json_each(${table.metadata}) as pair where pair.key = ${key} and pair.value = ${value})`,
    ),
    sql.raw(isNotErased({ org: of("org"), session: of("session_id"), createdAt: of("created_at") })),
  );
}

/** SQL: that the run of a plain call has this status. As `toPlainRun` says it; a call that runs has no row. */
function hasStatus(status: string | undefined): SQL | undefined {
  if (status === undefined) return undefined;
  const { status: ending, error } = callRecords;
  const message = sql<string>`coalesce(${error} ->> '$.message', '')`;
  const wasRestarted = eq(message, RESTARTED.message);
  switch (status) {
    case "completed":
      return eq(ending, "completed");
    case "cancelled":
      return and(eq(ending, "interrupted"), ne(message, RESTARTED.message));
    case "failed":
      return or(inArray(ending, ["failed", "incomplete"]), and(eq(ending, "interrupted"), wasRestarted));
    default:
      return sql`false`;
  }
}

/** The record of a call, or the start of one that is running. */
type RecordedCall = Pick<CallRecord, "id" | "sessionId" | "keyId" | "createdAt"> & Partial<CallRecord>;

/** A plain call as the run of one call that it is. The gateway executes no tools for it. */
export function toPlainRun(call: RecordedCall): ListedRun {
  const { sessionId, keyId, usage, costMicrosUsd, error, metadata, createdAt, endedAt } = call;
  return {
    id: runIdOf(call),
    sessionId,
    keyId,
    ...endingOf(call),
    steps: 1,
    toolCalls: 0,
    ...(usage && { usage }),
    ...(costMicrosUsd !== undefined && { costMicrosUsd }),
    ...(error && { error: { code: error.code, message: error.message } }),
    ...(metadata && { metadata }),
    createdAt,
    ...(endedAt !== undefined && { endedAt }),
  };
}

function endingOf({ status, finishReason, error, endedAt }: RecordedCall): Pick<ListedRun, "status" | "stopReason"> {
  if (status === undefined || endedAt === undefined) return { status: "running" };
  const stopReason = stopReasonOf({ status, finishReason, error } as CallRecord);
  if (status === "completed") return { status, stopReason };
  return { status: stopReason === "cancelled" ? "cancelled" : "failed", stopReason };
}
