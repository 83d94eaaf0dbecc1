import type { Sql } from "../store/sql.ts";
import { loadText, storeText } from "./overflow.ts";
import { hasTable } from "./schema.ts";

/** States of a response (OpenAI API reference, Responses: `status`). */
export type ResponseStatus = "queued" | "in_progress" | "completed" | "incomplete" | "failed" | "cancelled";

/**
 * A response that can be retrieved by its id. `call`: the call that made it. `id`: its public id, which is the provider's
 * own where that was sent to the client. `body`: the response object as JSON text; until it ends, the one it started with.
 */
export type StoredResponse = { call: string; id: string; status: ResponseStatus; background: boolean; body: string };

type Row = { call: string; id: string; status: ResponseStatus; background: number; body: string };

/** Replaces the stored response of the same call. A cancelled response is not changed: its call may still end later. */
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

/** The stored response of a call. */
export function findResponse(sql: Sql, call: string): StoredResponse | undefined {
  const [row] = sql<Row>("SELECT * FROM responses WHERE call = ?", call);
  if (row === undefined) return undefined;
  return { ...row, background: row.background === 1, body: loadText(sql, `${call}/response`, row.body) };
}

/** The call of a response by its public id; the newest, since some providers repeat their ids. */
export const findCallByResponseId = (sql: Sql, id: string): string | undefined =>
  sql<{ call: string }>("SELECT call FROM responses WHERE id = ? ORDER BY call DESC LIMIT 1", id)[0]?.call;

/** Whether the call's response is stored. One of a call with `store: false` is not, and cannot be continued by its id. */
export const isStoredResponse = (sql: Sql, call: string): boolean => findStatus(sql, call) !== undefined;

export const isCancelled = (sql: Sql, call: string): boolean => findStatus(sql, call) === "cancelled";

/** Deletes a response. Its turn stays: later turns build on it. */
export function deleteResponse(sql: Sql, call: string): void {
  sql("DELETE FROM responses WHERE call = ?", call);
  sql("DELETE FROM overflow WHERE owner = ?", `${call}/response`);
}

export const setResponseStatus = (sql: Sql, call: string, status: ResponseStatus): unknown =>
  sql("UPDATE responses SET status = ? WHERE call = ?", status, call);

/**
 * Runs when an object starts: responses that were running in its predecessor will not continue, but those of the calls for which `goesOn`
 * is true.
 */
export function failInterruptedResponses(sql: Sql, goesOn: (call: string) => boolean): void {
  if (!hasTable(sql, "responses")) return;
  const open = sql<{ call: string }>("SELECT call FROM responses WHERE status IN ('queued', 'in_progress')");
  for (const { call } of open) if (!goesOn(call)) failOpenResponse(sql, call);
}

/** The response of a call gets no answer, unless it has one. */
export function failOpenResponse(sql: Sql, call: string): void {
  if (hasTable(sql, "responses"))
    sql("UPDATE responses SET status = 'failed' WHERE call = ? AND status IN ('queued', 'in_progress')", call);
}

const findStatus = (sql: Sql, call: string): ResponseStatus | undefined =>
  sql<{ status: ResponseStatus }>("SELECT status FROM responses WHERE call = ?", call)[0]?.status;
