import type { Kept } from "../store/records.ts";
import type { Sql } from "../store/sql.ts";

/** How many are looked at in one go: a record has about a kilobyte. */
const PAGE = 100;

/** Records on their way, as the text that their row holds: by it a newer one under the same id is told from what was sent. */
export type Posted = { id: string; payload: string };

/** Puts records on their way together, under the first one's id, instead of older ones. */
export const post = (sql: Sql, ...records: readonly [Kept, ...Kept[]]): void =>
  postText(sql, records[0].id, records.map((record) => JSON.stringify(record)).join(","));

/** The same of records that are texts already. */
export const postText = (sql: Sql, id: string, payload: string): void =>
  void sql("INSERT OR REPLACE INTO outbox (id, payload) VALUES (?, ?)", id, payload);

/** All of them, by their ids. */
export function* posted(sql: Sql): Generator<Posted> {
  for (let page: Posted[] = [], after = ""; ; after = page.at(-1)!.id) {
    page = sql("SELECT id, payload FROM outbox WHERE id > ? ORDER BY id LIMIT ?", after, PAGE);
    yield* page;
    if (page.length < PAGE) return;
  }
}

/** What has arrived, unless a newer one has taken its place. */
export const forget = (sql: Sql, { id, payload }: Posted): unknown =>
  sql("DELETE FROM outbox WHERE id = ? AND payload = ?", id, payload);
