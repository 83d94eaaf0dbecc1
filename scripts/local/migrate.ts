import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "../settings.ts";
import type { Config } from "../wrangler.ts";

/**
 * Applies the pending migrations to the local database as `wrangler d1 migrations apply --local` would, with the same
 * table of applied ones, but in this process: this saves the seconds of a second start of wrangler.
 */
export async function migrate(config: Config, persistDir: string): Promise<void> {
  const { Miniflare, convertV4MiniflareOptions } = await import("miniflare");
  const { unstable_splitSqlQuery } = await import("wrangler");
  for (const { database_id, migrations_dir } of config.d1_databases) {
    const dir = join(PROJECT, migrations_dir);
    const runtime = new Miniflare(
      convertV4MiniflareOptions({
        modules: true,
        script: "",
        resourcePersistencePath: persistDir,
        d1Databases: { DB: database_id },
      }),
    );
    const db: D1Database = await runtime.getD1Database("DB");
    await db.prepare(TABLE).run();
    const { results } = await db.prepare("SELECT name FROM d1_migrations").all<{ name: string }>();
    const applied = new Set(results.map(({ name }) => name));
    const files = readdirSync(dir).filter((name) => name.endsWith(".sql") && !applied.has(name));
    for (const name of files.toSorted()) {
      const queries = unstable_splitSqlQuery(readFileSync(join(dir, name), "utf8"));
      // A batch is one transaction: a migration is applied and recorded, or neither.
      await db.batch([
        ...queries.map((query) => db.prepare(query)),
        db.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name),
      ]);
    }
    await runtime.dispose();
  }
}

const TABLE = `CREATE TABLE IF NOT EXISTS d1_migrations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)`;
