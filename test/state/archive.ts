import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** A directory of state as one file. Logs of SQLite (`-wal`) belong to it; their index (`-shm`) is made anew. */
export const packState = (stateDir: string, file: string): unknown =>
  execFileSync("tar", [
    "--exclude=*-shm",
    "--exclude=claimed-by",
    "--exclude=./v3/cache",
    "-czf",
    file,
    "-C",
    stateDir,
    ".",
  ]);

export const unpackState = (file: string, stateDir: string): unknown =>
  execFileSync("tar", ["-xzf", file, "-C", stateDir]);

/** Every database below a directory of state. */
export function databasesIn(stateDir: string): string[] {
  return readdirSync(stateDir, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".sqlite"))
    .map((name) => join(stateDir, name))
    .filter((path) => existsSync(path));
}

/** Runs a query in every database that has the table. Gives all rows. */
export function queryAll(stateDir: string, table: string, query: string, ...values: (string | number)[]): object[] {
  return databasesIn(stateDir).flatMap((path) => {
    const database = new DatabaseSync(path);
    try {
      const has = database.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?").get(table);
      return has === undefined ? [] : database.prepare(query).all(...values);
    } finally {
      database.close();
    }
  });
}
