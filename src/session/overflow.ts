import type { Sql } from "../store/sql.ts";

/** The rests of long texts: a row holds at most 2 MB (Cloudflare: SQLite in Durable Objects, limits). */
export const OVERFLOW_SCHEMA = `CREATE TABLE IF NOT EXISTS overflow (
     owner TEXT, part INTEGER, text TEXT NOT NULL, PRIMARY KEY (owner, part)
   ) WITHOUT ROWID`;

/** UTF-16 code units. A row has two such texts; at three bytes a unit they stay below its 2 MB. */
const MAX_TEXT_LENGTH = 250_000;

/** Whether the text is stored whole. A first part is one unit shorter if it would have ended inside a surrogate pair. */
const fitsInRow = (text: string): boolean => text.length < MAX_TEXT_LENGTH - 1;

/** Returns the part of a text that fits a row, and stores the rest under `owner`, replacing what was stored there. */
export function storeText(sql: Sql, owner: string, text: string): string {
  if (fitsInRow(text)) return text;
  const [first = "", ...rest] = splitText(text);
  sql("DELETE FROM overflow WHERE owner = ? AND part > ?", owner, rest.length);
  rest.forEach((part, i) =>
    sql("INSERT OR REPLACE INTO overflow (owner, part, text) VALUES (?, ?, ?)", owner, i + 1, part),
  );
  return first;
}

/** The inverse of `storeText`: `text` and its rest. */
export function loadText(sql: Sql, owner: string, text: string): string {
  if (fitsInRow(text)) return text;
  const more = sql<{ text: string }>("SELECT text FROM overflow WHERE owner = ? ORDER BY part", owner);
  return text + more.map((row) => row.text).join("");
}

/** Never splits a surrogate pair: SQLite stores UTF-8, in which half a pair has no encoding. */
function splitText(text: string): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length;) {
    const end = at + MAX_TEXT_LENGTH;
    const isHalf = end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800;
    const boundary = isHalf ? end - 1 : end;
    parts.push(text.slice(at, boundary));
    at = boundary;
  }
  return parts;
}
