import { OUTBOX_SCHEMA } from "../store/outbox.ts";
import { createTables, migrate as bringUpToDate, type Sql, type Storage } from "../store/sql.ts";
import { OVERFLOW_SCHEMA } from "./overflow.ts";

/** The tables that are as the first version made them. A table that a later step changes moves into the first step. */
const FIRST_TABLES = `
   CREATE TABLE turns (
     id TEXT PRIMARY KEY, parent TEXT, kind TEXT NOT NULL, origin TEXT, depth INTEGER NOT NULL,
     chain TEXT NOT NULL, own TEXT NOT NULL, reply TEXT NOT NULL, open TEXT NOT NULL,
     input_dialect TEXT NOT NULL, input TEXT NOT NULL, input_cuts TEXT NOT NULL,
     output_dialect TEXT NOT NULL, output TEXT NOT NULL, output_cuts TEXT NOT NULL,
     issuer TEXT NOT NULL, sealed INTEGER NOT NULL, created_at INTEGER NOT NULL
   ) WITHOUT ROWID;
   CREATE INDEX turns_by_chain ON turns (chain);
   CREATE TABLE calls (
     id TEXT PRIMARY KEY, status TEXT NOT NULL, started TEXT NOT NULL, record TEXT, received TEXT,
     created_at INTEGER NOT NULL
   ) WITHOUT ROWID;
   ${OUTBOX_SCHEMA};
   CREATE TABLE events (
     last INTEGER, part INTEGER, parts TEXT NOT NULL, bytes BLOB NOT NULL, written_at INTEGER NOT NULL,
     PRIMARY KEY (last, part)
   ) WITHOUT ROWID;
   CREATE TABLE streams (
     call TEXT PRIMARY KEY, first INTEGER NOT NULL, events INTEGER NOT NULL, ended_at INTEGER
   ) WITHOUT ROWID`;

/**
 * The schema of a session's database. A row holds at most 2 MB (Cloudflare: SQLite in Durable Objects, limits); longer
 * texts continue in `overflow`. Only running calls are looked for by their status: a call that has ended is in no index.
 */
const SCHEMA = `
   CREATE TABLE session (
     id TEXT PRIMARY KEY, org TEXT NOT NULL, head TEXT, depth INTEGER NOT NULL DEFAULT 0, instructions TEXT,
     status TEXT NOT NULL DEFAULT 'active', phase TEXT, metadata TEXT NOT NULL DEFAULT '{}',
     defaults TEXT NOT NULL DEFAULT '{}', origin TEXT, revision INTEGER NOT NULL DEFAULT 0,
     created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, recorded INTEGER
   ) WITHOUT ROWID;
   ${FIRST_TABLES};
   CREATE INDEX calls_running ON calls (id) WHERE status = 'running'`;

/** How the database of an older version comes to SCHEMA. Steps are only ever added, each of them here and in SCHEMA. */
export const SESSION_STEPS: readonly string[] = [
  `CREATE TABLE session (
     id TEXT PRIMARY KEY, org TEXT NOT NULL, head TEXT, depth INTEGER NOT NULL DEFAULT 0, instructions TEXT,
     status TEXT NOT NULL DEFAULT 'active', phase TEXT, metadata TEXT NOT NULL DEFAULT '{}',
     defaults TEXT NOT NULL DEFAULT '{}', origin TEXT, revision INTEGER NOT NULL DEFAULT 0,
     created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
   ) WITHOUT ROWID;
   ${FIRST_TABLES};
   CREATE INDEX calls_by_status ON calls (status)`,
  "ALTER TABLE session ADD COLUMN recorded INTEGER",
  "DROP INDEX calls_by_status; CREATE INDEX calls_running ON calls (id) WHERE status = 'running'",
];

/** Tables that few sessions need, created on first use: each costs a page, two rows and 40 µs in every session that has it. */
const LAZY_TABLES = `
   ${OVERFLOW_SCHEMA};
   CREATE TABLE IF NOT EXISTS snapshots (name TEXT PRIMARY KEY, turn TEXT, created_at INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE IF NOT EXISTS changes (
     id TEXT PRIMARY KEY, type TEXT NOT NULL, data TEXT NOT NULL, created_at INTEGER NOT NULL
   ) WITHOUT ROWID;
   CREATE TABLE IF NOT EXISTS responses (
     call TEXT PRIMARY KEY, id TEXT NOT NULL, status TEXT NOT NULL, background INTEGER NOT NULL, body TEXT NOT NULL
   ) WITHOUT ROWID;
   CREATE INDEX IF NOT EXISTS responses_by_status ON responses (status);
   CREATE INDEX IF NOT EXISTS responses_by_id ON responses (id);
   CREATE TABLE IF NOT EXISTS completions (call TEXT PRIMARY KEY, id TEXT NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE IF NOT EXISTS item_ids (turn TEXT PRIMARY KEY, ids TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE IF NOT EXISTS shield (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE IF NOT EXISTS run_parts (
     id TEXT PRIMARY KEY, kind TEXT NOT NULL, run TEXT NOT NULL, step INTEGER NOT NULL, status TEXT NOT NULL,
     body TEXT NOT NULL
   ) WITHOUT ROWID;
   CREATE INDEX IF NOT EXISTS run_parts_by_run ON run_parts (run, kind, step);
   CREATE INDEX IF NOT EXISTS run_parts_by_status ON run_parts (kind, status);
   CREATE TABLE IF NOT EXISTS dropped (id INTEGER PRIMARY KEY, last INTEGER NOT NULL);`;

/** Wraps a session's database so that the first query that misses a lazy table creates all of them and runs again. */
export const withLazyTables =
  (sql: Sql): Sql =>
  (query, ...values) => {
    try {
      return sql(query, ...values);
    } catch (error) {
      if (!String(error).includes("no such table")) throw error;
      sql(LAZY_TABLES);
      return sql(query, ...values);
    }
  };

/** Whether this database was ever migrated. The check writes nothing: a request with an unknown id must not create a database. */
export const isStored = (sql: Sql): boolean => hasTable(sql, "schema_version");

/** What is left of the deleted session of a conversation, so that the conversation goes on in another object. */
export const leaveTombstone = (sql: Sql): unknown =>
  sql("CREATE TABLE IF NOT EXISTS tombstone (id INTEGER PRIMARY KEY)");

export const hasTombstone = (sql: Sql): boolean => hasTable(sql, "tombstone");

export const hasTable = (sql: Sql, name: string): boolean =>
  sql("SELECT 1 FROM sqlite_master WHERE name = ?", name).length > 0;

/** The tables that hold the session's data, without those of SQLite, of the platform and of the schema's version. */
export const listTables = (sql: Sql): string[] =>
  sql<{ name: string }>(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_cf_%' AND name <> 'schema_version'",
  ).map(({ name }) => name);

/** Creates the tables of a session, or brings those of an older version up to date. */
export const migrateSession = (storage: Storage): void =>
  isStored(storage.sql) ? bringUpToDate(storage, SESSION_STEPS) : createTables(storage, SCHEMA, SESSION_STEPS);
