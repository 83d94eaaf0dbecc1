import type { Sql } from "../store/sql.ts";
import { loadText, storeText } from "./overflow.ts";

/**
 * A chat completion that can be retrieved by its id. `call`: the call that made it. `id`: the provider's, which the client
 * has received. `body`: OpenAI's object as JSON text.
 */
export type StoredCompletion = { call: string; id: string; body: string };

/** Replaces the stored completion of the same call. */
export function storeCompletion(sql: Sql, { call, id, body }: StoredCompletion): void {
  const text = storeText(sql, ownerOf(call), body);
  sql("INSERT OR REPLACE INTO completions (call, id, body) VALUES (?, ?, ?)", call, id, text);
}

/** All stored completions, without their bodies. */
export const listStoredCompletions = (sql: Sql): Omit<StoredCompletion, "body">[] =>
  sql("SELECT call, id FROM completions");

/** The stored completion of a call. */
export function findCompletion(sql: Sql, call: string): StoredCompletion | undefined {
  const [row] = sql<StoredCompletion>("SELECT call, id, body FROM completions WHERE call = ?", call);
  return row === undefined ? undefined : { ...row, body: loadText(sql, ownerOf(call), row.body) };
}

/** Deletes a completion. Its turn stays: later turns build on it. */
export function deleteCompletion(sql: Sql, call: string): void {
  sql("DELETE FROM completions WHERE call = ?", call);
  sql("DELETE FROM overflow WHERE owner = ?", ownerOf(call));
}

const ownerOf = (call: string): string => `${call}/completion`;
