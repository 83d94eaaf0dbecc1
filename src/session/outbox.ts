import type { Kept } from "../store/records.ts";
import type { Sql } from "../store/sql.ts";

/** How many are looked at in one go: a record has about a kilobyte. */
const PAGE = 100;

/** A record on its way, as the text that its row holds: by it a newer one under the same id is told from what was sent. */
export type Posted = { id: string; payload: string };

/** Puts a record on its way, instead of an older one of the same thing. */
export function post(sql: Sql, record: Kept): void {
  sql("INSERT OR REPLACE INTO outbox (id, payload) VALUES (?, ?)", record.id, JSON.stringify(record));
}

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
