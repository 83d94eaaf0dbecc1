/** All a session needs of a database: a query in, its rows out. Synchronous, as in a Durable Object. */
export type Sql = <Row>(query: string, ...values: (string | number | null | ArrayBuffer)[]) => Row[];

/** Runs a piece of work as one transaction. */
export type Transact = <T>(work: () => T) => T;

export type Storage = { sql: Sql; transact: Transact };

/**
 * The schema of a session's own database, in steps that are only ever added to: an object made by an older version
 * opens with a newer one. Rows hold at most 2 MB, so texts that are longer go on in `overflow`.
 */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE session (
     id TEXT PRIMARY KEY, org TEXT NOT NULL, head TEXT, instructions TEXT,
     created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
   );
   CREATE TABLE turns (
     id TEXT PRIMARY KEY, parent TEXT, depth INTEGER NOT NULL, chain TEXT NOT NULL,
     input_dialect TEXT NOT NULL, input TEXT NOT NULL,
     output_dialect TEXT NOT NULL, output TEXT NOT NULL,
     issuer TEXT NOT NULL, sealed INTEGER NOT NULL, created_at INTEGER NOT NULL
   );
   CREATE INDEX turns_by_chain ON turns (chain);
   CREATE TABLE overflow (owner TEXT, part INTEGER, text TEXT NOT NULL, PRIMARY KEY (owner, part)) WITHOUT ROWID;
   CREATE TABLE calls (
     id TEXT PRIMARY KEY, status TEXT NOT NULL, started TEXT NOT NULL, record TEXT, received TEXT,
     created_at INTEGER NOT NULL
   );
   CREATE INDEX calls_by_status ON calls (status);
   CREATE TABLE outbox (id TEXT PRIMARY KEY, payload TEXT NOT NULL, sent_at INTEGER);`,
  `ALTER TABLE session ADD COLUMN status TEXT NOT NULL DEFAULT 'active';
   ALTER TABLE session ADD COLUMN phase TEXT;
   ALTER TABLE session ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
   ALTER TABLE session ADD COLUMN defaults TEXT NOT NULL DEFAULT '{}';
   ALTER TABLE session ADD COLUMN origin TEXT;
   ALTER TABLE session ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE session ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
   UPDATE session SET depth = coalesce((SELECT depth FROM turns WHERE id = session.head), 0);
   ALTER TABLE turns ADD COLUMN kind TEXT NOT NULL DEFAULT 'call';
   ALTER TABLE turns ADD COLUMN origin TEXT;
   ALTER TABLE turns ADD COLUMN own TEXT NOT NULL DEFAULT '';
   ALTER TABLE turns ADD COLUMN reply TEXT NOT NULL DEFAULT '';
   ALTER TABLE turns ADD COLUMN open TEXT NOT NULL DEFAULT '[]';
   ALTER TABLE turns ADD COLUMN input_cuts TEXT NOT NULL DEFAULT '[]';
   ALTER TABLE turns ADD COLUMN output_cuts TEXT NOT NULL DEFAULT '[]';
   CREATE TABLE snapshots (name TEXT PRIMARY KEY, turn TEXT, created_at INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE changes (id TEXT PRIMARY KEY, type TEXT NOT NULL, data TEXT NOT NULL, created_at INTEGER NOT NULL) WITHOUT ROWID;`,
  `CREATE TABLE responses (
     call TEXT PRIMARY KEY, id TEXT NOT NULL, status TEXT NOT NULL, background INTEGER NOT NULL, body TEXT NOT NULL
   );
   CREATE INDEX responses_by_status ON responses (status);
   CREATE INDEX responses_by_id ON responses (id);`,
  `CREATE TABLE events (
     last INTEGER, part INTEGER, parts TEXT NOT NULL, bytes BLOB NOT NULL, written_at INTEGER NOT NULL,
     PRIMARY KEY (last, part)
   );
   CREATE TABLE streams (call TEXT PRIMARY KEY, first INTEGER NOT NULL, events INTEGER NOT NULL, ended_at INTEGER);
   CREATE TABLE dropped (id INTEGER PRIMARY KEY, last INTEGER NOT NULL);`,
];

/** Whether anything was ever stored here. Asking leaves no trace: an id that nobody made must not leave a database behind. */
export const isStored = (sql: Sql): boolean =>
  sql("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").length > 0;

/** All of ours that hold something of the session. */
export const tablesOf = (sql: Sql): string[] =>
  sql<{ name: string }>(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_cf_%' AND name <> 'schema_version'",
  ).map(({ name }) => name);

export function migrate({ sql, transact }: Storage): void {
  sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)");
  const [current] = sql<{ version: number }>("SELECT coalesce(max(version), 0) AS version FROM schema_version");
  transact(() => {
    for (let version = current!.version; version < MIGRATIONS.length; version++) {
      sql(MIGRATIONS[version]!);
      sql("INSERT INTO schema_version (version) VALUES (?)", version + 1);
    }
  });
}

/** UTF-16 code units. A row has two such texts, and at three bytes a unit they stay below its 2 MB. */
const PIECE = 250_000;

/** The part of a text that fits a row; the rest is kept under `owner`, instead of what was there. */
export function splitOff(sql: Sql, owner: string, text: string): string {
  const [first = "", ...rest] = piecesOf(text);
  sql("DELETE FROM overflow WHERE owner = ? AND part > ?", owner, rest.length);
  rest.forEach((piece, i) =>
    sql("INSERT OR REPLACE INTO overflow (owner, part, text) VALUES (?, ?, ?)", owner, i + 1, piece),
  );
  return first;
}

/** The inverse. */
export function joinOn(sql: Sql, owner: string, text: string): string {
  if (text.length < PIECE - 1) return text;
  const more = sql<{ text: string }>("SELECT text FROM overflow WHERE owner = ? ORDER BY part", owner);
  return text + more.map((row) => row.text).join("");
}

/** Never cut inside a surrogate pair: a half alone is no character, and would not come back. */
function piecesOf(text: string): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length;) {
    const end = at + PIECE;
    const isHalf = end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800;
    const cut = isHalf ? end - 1 : end;
    pieces.push(text.slice(at, cut));
    at = cut;
  }
  return pieces;
}
