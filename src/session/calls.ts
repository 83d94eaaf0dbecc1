import { enqueue } from "../store/outbox.ts";
import type { CallRecord } from "../store/records.ts";
import type { Sql } from "../store/sql.ts";
import { loadText, storeText } from "./overflow.ts";

/** A call as it is stored before it is dispatched: its record without what only its end determines. */
export type CallStart = Omit<CallRecord, "status" | "usage" | "latency" | "endedAt" | "attempts" | "losses">;
/**
 * A call of a session: `running`, then the status it ended with. A call that is `running` while its object starts was
 * interrupted by a crash. `received`: the wire items of a failed call, as JSON text.
 */
export type CallState = {
  id: string;
  status: CallRecord["status"] | "running";
  started: CallStart;
  record?: CallRecord;
  received?: string;
};

type Row = { id: string; status: CallState["status"]; started: string; record: string | null; received: string | null };

export function startCall(sql: Sql, started: CallStart): void {
  sql(
    "INSERT INTO calls (id, status, started, created_at) VALUES (?, 'running', ?, ?)",
    started.id,
    JSON.stringify(started),
    started.createdAt,
  );
}

/**
 * Ends a call, or stores one that was never started here. `received`: wire items that arrived but became no turn, as JSON
 * text. The record has all of what was stored at the start, and takes its place: a row of up to 1 KB needs no page of its own.
 */
export function endCall(sql: Sql, { id, ...record }: CallRecord, received?: string): void {
  sql(
    `INSERT INTO calls (id, status, started, record, received, created_at) VALUES (?1, ?2, '', ?3, ?4, ?5)
     ON CONFLICT (id) DO UPDATE SET status = ?2, started = '', record = ?3, received = ?4`,
    id,
    record.status,
    JSON.stringify(record),
    received === undefined ? null : storeText(sql, receivedOwner(id), received),
    record.createdAt,
  );
}

/** Records a call again, with what came after its end: `endedAt` is later than before. Nothing is awaited, so both are written or none. */
export function recordAgain(sql: Sql, record: CallRecord): void {
  const { id, ...same } = record;
  sql("UPDATE calls SET record = ? WHERE id = ?", JSON.stringify(same), id);
  enqueue(sql, record);
}

export const findCallState = (sql: Sql, id: string): CallState | undefined =>
  sql<Row>("SELECT * FROM calls WHERE id = ?", id).map((row) => toCallState(sql, row))[0];

/** Calls in the order in which they started: those after the id `after`, at most `limit` (-1: all). */
export const listCalls = (sql: Sql, { after = "", limit = -1 } = {}): CallState[] =>
  sql<Row>("SELECT * FROM calls WHERE id > ? ORDER BY id LIMIT ?", after, limit).map((row) => toCallState(sql, row));

export const listCallIds = (sql: Sql): { id: string; createdAt: number }[] =>
  sql("SELECT id, created_at AS createdAt FROM calls ORDER BY id");

/** The newest completed call; its model is the default for commands that need one. */
export const findLastCompleted = (sql: Sql): CallState | undefined =>
  sql<Row>("SELECT * FROM calls WHERE status = 'completed' ORDER BY id DESC LIMIT 1").map((row) =>
    toCallState(sql, row),
  )[0];

/** Whether calls came here because their client named a conversation. */
export const isOfConversation = (sql: Sql): boolean =>
  sql("SELECT 1 FROM calls WHERE coalesce(record, started) ->> '$.conversation.client' IS NOT NULL LIMIT 1").length > 0;

export const listRunningCalls = (sql: Sql): CallState[] =>
  sql<Row>("SELECT * FROM calls WHERE status = 'running'").map((row) => toCallState(sql, row));

function toCallState(sql: Sql, { id, status, started, record: ended, received }: Row): CallState {
  const record = ended === null ? undefined : { ...(JSON.parse(ended) as CallRecord), id };
  return {
    id,
    status,
    started: record ?? (JSON.parse(started) as CallStart),
    ...(record !== undefined && { record }),
    ...(received !== null && { received: loadText(sql, receivedOwner(id), received) }),
  };
}

/** Owner of the rest of `received` in `overflow`. */
const receivedOwner = (id: string): string => `${id}/received`;
