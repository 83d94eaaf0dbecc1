import { getTableColumns, getTableName } from "drizzle-orm";
import type { SQLiteColumn, SQLiteTable } from "drizzle-orm/sqlite-core";

/** D1 takes no value above 2 MB. In UTF-16 code units, of which none has more than three bytes; a longer row goes alone. */
const MAX_LIST_LENGTH = 600_000;

/** Statements for any number of rows: mostly one, or none when there are no rows. */
export type Upsert<Row> = (d1: D1Database, rows: readonly Row[]) => D1PreparedStatement[];

/**
 * A table's rows in place of those that have the same `key`. Every row is written whole: what it does not say becomes
 * null. The text is made once and the rows are its only parameter, a JSON list, because D1 takes half a millisecond for
 * a statement and next to nothing for a row. `isNewer` is SQL that may speak of the row there by the table's name and
 * of the other as `excluded`: where it is false the row there stays.
 */
export function upsertInto<Table extends SQLiteTable>(
  table: Table,
  key: readonly SQLiteColumn[],
  isNewer = "true",
): Upsert<Table["$inferInsert"]> {
  const columns = Object.entries<SQLiteColumn>(getTableColumns(table));
  const names = columns.map(([, { name }]) => name);
  // `->` gives JSON as it is written, `->>` the value in it.
  const values = columns.map(([member, { dataType }]) => `value ${dataType === "json" ? "->" : "->>"} '$.${member}'`);
  const text = `INSERT INTO ${getTableName(table)} (${names.join()}) SELECT ${values.join()} FROM json_each(?) WHERE true
    ON CONFLICT (${key.map(({ name }) => name).join()})
    DO UPDATE SET ${names.map((name) => `${name} = excluded.${name}`).join()} WHERE ${isNewer}`;
  return (d1, rows) => splitRows(rows).map((list) => d1.prepare(text).bind(list));
}

function splitRows(rows: readonly object[]): string[] {
  const lists: string[][] = [];
  let room = 0;
  for (const row of rows) {
    const json = JSON.stringify(row);
    room -= json.length + 1;
    if (room < 0 || lists.length === 0) {
      lists.push([]);
      room = MAX_LIST_LENGTH - json.length;
    }
    lists.at(-1)!.push(json);
  }
  return lists.map((list) => `[${list.join()}]`);
}
