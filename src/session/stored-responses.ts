import type { Sql } from "../store/sql.ts";
import { hasTable, loadText, storeText } from "./schema.ts";

/** OpenAI's words for how a response stands. */
export type ResponseStatus = "queued" | "in_progress" | "completed" | "incomplete" | "failed" | "cancelled";

/**
 * A response that its client may ask for again. `call`: the call that made it, `id`: its public id, which is the
 * provider's own where the client was told that. `body`: the response object as JSON text; while it runs, as it began.
 */
export type StoredResponse = { call: string; id: string; status: ResponseStatus; background: boolean; body: string };

type Row = { call: string; id: string; status: ResponseStatus; background: number; body: string };

/** Instead of what was kept of it before; one that was cancelled stays so. */
export function storeResponse(sql: Sql, { call, id, status, background, body }: StoredResponse): void {
  if (findStatus(sql, call) === "cancelled") return;
  sql(
    "INSERT OR REPLACE INTO responses (call, id, status, background, body) VALUES (?, ?, ?, ?, ?)",
    call,
    id,
    status,
    background ? 1 : 0,
    storeText(sql, `${call}/response`, body),
  );
}

export function findResponse(sql: Sql, call: string): StoredResponse | undefined {
  const [row] = sql<Row>("SELECT * FROM responses WHERE call = ?", call);
  if (row === undefined) return undefined;
  return { ...row, background: row.background === 1, body: loadText(sql, `${call}/response`, row.body) };
}

/** The call of a response by its public id, which may be the provider's own. */
export const findCallByResponseId = (sql: Sql, id: string): string | undefined =>
  sql<{ call: string }>("SELECT call FROM responses WHERE id = ? ORDER BY call DESC LIMIT 1", id)[0]?.call;

/** Whether a response is kept: what was told with `store: false` is not, and cannot be continued by its id. */
export const isStoredResponse = (sql: Sql, call: string): boolean => findStatus(sql, call) !== undefined;

export const isCancelled = (sql: Sql, call: string): boolean => findStatus(sql, call) === "cancelled";

/** The turn it made stays: it is part of a history. */
export function deleteResponse(sql: Sql, call: string): void {
  sql("DELETE FROM responses WHERE call = ?", call);
  sql("DELETE FROM overflow WHERE owner = ?", `${call}/response`);
}

export const setResponseStatus = (sql: Sql, call: string, status: ResponseStatus): unknown =>
  sql("UPDATE responses SET status = ? WHERE call = ?", status, call);

/** For an object that has just been made: what ran in the one before will not go on. */
export function failInterruptedResponses(sql: Sql): void {
  if (hasTable(sql, "responses"))
    sql("UPDATE responses SET status = 'failed' WHERE status IN ('queued', 'in_progress')");
}

const findStatus = (sql: Sql, call: string): ResponseStatus | undefined =>
  sql<{ status: ResponseStatus }>("SELECT status FROM responses WHERE call = ?", call)[0]?.status;
