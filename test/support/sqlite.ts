import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import type { Sql, Storage } from "../../src/store/sql.ts";

/** A database in memory as a Durable Object has it. A query without values may have several statements. */
export function openSql(): Sql {
  const database = new DatabaseSync(":memory:");
  return (query, ...values) => {
    if (values.length === 0 && query.includes(";")) {
      database.exec(query);
      return [];
    }
    return database.prepare(query).all(...values.map(toInput)) as never[];
  };
}

const toInput = (value: Parameters<Sql>[1]): SQLInputValue =>
  value instanceof ArrayBuffer ? new Uint8Array(value) : (value ?? null);

/** With transactions that are not rolled back: each query stands for itself. */
export const toStorage = (sql: Sql): Storage => ({ sql, transact: (work) => work() });
