import { expect, it } from "vitest";
import { migrateSession, SESSION_STEPS } from "../../src/session/schema.ts";
import { migrate, type Storage } from "../../src/store/sql.ts";
import { openSql, toStorage } from "../support/sqlite.ts";

const open = (): Storage => toStorage(openSql());

/** The tables and indices with their columns, without the text that created them. */
function describeSchema({ sql }: Storage): unknown {
  const objects = sql<{ type: string; name: string }>("SELECT type, name FROM sqlite_master ORDER BY type, name");
  return objects.map(({ type, name }) => ({
    type,
    name,
    columns: sql(type === "table" ? `PRAGMA table_xinfo(${name})` : `PRAGMA index_xinfo(${name})`),
    options: type === "table" ? sql("SELECT wr, strict FROM pragma_table_list WHERE name = ?", name) : [],
  }));
}

it("a new session's tables are those of an old one after all steps", () => {
  const fresh = open();
  migrateSession(fresh);
  const old = open();
  migrate(old, SESSION_STEPS.slice(0, 1));
  migrateSession(old);
  expect(describeSchema(fresh)).toEqual(describeSchema(old));
  expect(fresh.sql("SELECT max(version) AS version FROM schema_version")).toEqual([{ version: SESSION_STEPS.length }]);
});

it("tables that are up to date are left as they are", () => {
  const storage = open();
  migrateSession(storage);
  const before = describeSchema(storage);
  migrateSession(storage);
  expect(describeSchema(storage)).toEqual(before);
});
