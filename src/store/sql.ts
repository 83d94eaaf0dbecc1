/** All that state in a Durable Object needs of its database: a query in, its rows out. Synchronous. */
export type Sql = <Row>(query: string, ...values: (string | number | null | ArrayBuffer)[]) => Row[];

/** Runs a piece of work as one transaction. */
export type Transact = <T>(work: () => T) => T;

export type Storage = { sql: Sql; transact: Transact };

/** Brings a database up to date. `steps` are only ever added to: an object made by an older version opens with a newer one. */
export function migrate({ sql, transact }: Storage, steps: readonly string[]): void {
  sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)");
  const [current] = sql<{ version: number }>("SELECT coalesce(max(version), 0) AS version FROM schema_version");
  transact(() => {
    for (let version = current!.version; version < steps.length; version++) {
      sql(steps[version]!);
      sql("INSERT INTO schema_version (version) VALUES (?)", version + 1);
    }
  });
}
