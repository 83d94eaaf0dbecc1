/** A query on a Durable Object's SQLite database → its rows. Synchronous. */
export type Sql = <Row>(query: string, ...values: (string | number | null | ArrayBuffer)[]) => Row[];

/** Runs `work` as one transaction, which is rolled back if it throws. */
type Transact = <T>(work: () => T) => T;

/** A Durable Object's database. */
export type Storage = { sql: Sql; transact: Transact };

const VERSION_TABLE = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)";

/**
 * Runs the schema steps that a database has not run yet. Released steps must never change: only new ones are appended, so
 * that an object stored by an older version can be opened by a newer one.
 */
export function migrate({ sql, transact }: Storage, steps: readonly string[]): void {
  sql(VERSION_TABLE);
  const [current] = sql<{ version: number }>("SELECT coalesce(max(version), 0) AS version FROM schema_version");
  transact(() => {
    for (let version = current!.version; version < steps.length; version++) {
      sql(steps[version]!);
      sql("INSERT INTO schema_version (version) VALUES (?)", version + 1);
    }
  });
}

/** Gives an empty database at once what all steps would give it one by one. `schema`: what they add up to. */
export const createTables = ({ sql, transact }: Storage, schema: string, steps: readonly string[]): void =>
  transact(
    () => void sql(`${VERSION_TABLE}; INSERT INTO schema_version (version) VALUES (${steps.length}); ${schema}`),
  );
