import { getTableColumns, getTableName } from "drizzle-orm";
import type { SQLiteColumn, SQLiteTable } from "drizzle-orm/sqlite-core";

/** Longest JSON array of rows, in UTF-16 code units of at most three bytes: D1 limits a value to 2 MB. A longer row is sent alone. */
const MAX_LIST_LENGTH = 600_000;

/** Makes the statements for any number of rows: usually one, none for no rows. */
type Upsert<Row> = (d1: D1Database, rows: readonly Row[]) => D1PreparedStatement[];

/**
 * `key`: what identifies a row. `isNewer`: SQL condition for replacing one; the stored row has the table's name, the new one
 * is `excluded`. `fixed`: columns that stay as they are when a row is replaced: an index over them is not written again.
 * `counter`: a column that counts replacements.
 * `onlyIf`: SQL condition for a row to be written at all; `value` is its JSON.
 */
type UpsertOptions = {
  key: readonly SQLiteColumn[];
  isNewer?: string;
  fixed?: readonly SQLiteColumn[];
  counter?: SQLiteColumn;
  onlyIf?: string;
};

/**
 * Inserts rows, replacing those with the same key: absent members become null. The statement's only parameter is a JSON
 * array of all rows, because D1 takes half a millisecond per statement and almost nothing per row.
 */
export function upsertInto<Table extends SQLiteTable>(
  table: Table,
  { key, isNewer = "true", fixed = [], counter, onlyIf = "true" }: UpsertOptions,
): Upsert<Table["$inferInsert"]> {
  const columns = Object.entries<SQLiteColumn>(getTableColumns(table));
  const names = columns.map(([, { name }]) => name);
  const changing = columns.filter(([, column]) => !key.includes(column) && !fixed.includes(column));
  // SQLite: `->` extracts JSON text, `->>` an SQL value.
  const values = columns.map(([member, { dataType }]) => `value ${dataType === "json" ? "->" : "->>"} '$.${member}'`);
  const tableName = getTableName(table);
  const changes = changing.map(([, column]) =>
    column === counter
      ? `${column.name} = ${tableName}.${column.name} + 1`
      : `${column.name} = excluded.${column.name}`,
  );
  const text = `INSERT INTO ${tableName} (${names.join()}) SELECT ${values.join()} FROM json_each(?) WHERE ${onlyIf}
    ON CONFLICT (${key.map(({ name }) => name).join()})
    DO UPDATE SET ${changes.join()} WHERE ${isNewer}`;
  return (d1, rows) => splitRows(rows).map((list) => d1.prepare(text).bind(list));
}

/** Rows → JSON arrays of at most `MAX_LIST_LENGTH`. */
export function splitRows(rows: readonly object[]): string[] {
  const lists: string[][] = [];
  let remaining = 0;
  for (const row of rows) {
    const json = JSON.stringify(row);
    remaining -= json.length + 1;
    if (remaining < 0 || lists.length === 0) {
      lists.push([]);
      remaining = MAX_LIST_LENGTH - json.length;
    }
    lists.at(-1)!.push(json);
  }
  return lists.map((list) => `[${list.join()}]`);
}
