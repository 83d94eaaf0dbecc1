import { enqueueAudit } from "../store/audit-outbox.ts";
import type { AuditEvent } from "../store/audit.ts";
import type { Storage } from "../store/sql.ts";
import { harnessIdOf } from "./harness-id.ts";

/** Schema of a step of the organisation's database. A deleted version has no body: only its number stays, which is not given again. */
export const HARNESSES_SCHEMA = `CREATE TABLE harnesses (
   name TEXT NOT NULL, version INTEGER NOT NULL, created_at INTEGER NOT NULL, deleted_at INTEGER, body TEXT NOT NULL,
   PRIMARY KEY (name, version)
 )`;

/** A version of a harness, which never changes. `body`: its definition as JSON. `createdAt`: Unix milliseconds. */
export type StoredHarness = { name: string; version: number; body: string; createdAt: number };

/** A part of a list. `hasMore`: others follow. */
export type HarnessPage = { found: StoredHarness[]; hasMore: boolean };

/** Names of an organisation, each in all its versions. */
const MAX_HARNESSES = 200;
/** Of the bodies in a page, beyond its first. Characters. */
const MAX_PAGE_LENGTH = 4 * 1024 * 1024;

type Key = { name: string; version: number };
type Row = Key & { body: string; created_at: number };

/** The newest version of each harness, by name, behind the name `after`. */
export function listHarnesses(storage: Storage, { after = "", limit }: { after?: string; limit: number }): HarnessPage {
  const rows = storage.sql<Key & { length: number }>(
    `SELECT name, max(version) AS version, length(body) AS length FROM harnesses
     WHERE deleted_at IS NULL AND name > ? GROUP BY name ORDER BY name LIMIT ?`,
    after,
    limit + 1,
  );
  return readPage(storage, rows, limit);
}

/** The versions of a harness before `before`, the newest first. */
export function listHarnessVersions(
  storage: Storage,
  { name, before = Number.MAX_SAFE_INTEGER, limit }: { name: string; before?: number; limit: number },
): HarnessPage {
  const rows = storage.sql<Key & { length: number }>(
    `SELECT name, version, length(body) AS length FROM harnesses
     WHERE deleted_at IS NULL AND name = ? AND version < ? ORDER BY version DESC LIMIT ?`,
    name,
    before,
    limit + 1,
  );
  return readPage(storage, rows, limit);
}

/** A page of `limit` rows of these, or of fewer that are as long as a page may be. */
function readPage(storage: Storage, rows: readonly (Key & { length: number })[], limit: number): HarnessPage {
  let sum = 0;
  const long = rows.findIndex(({ length }, i) => (sum += length) > MAX_PAGE_LENGTH && i > 0);
  const shown = rows.slice(0, long < 0 ? limit : Math.min(limit, long));
  const found = shown.flatMap(({ name, version }) => findStoredHarness(storage, name, version) ?? []);
  return { found, hasMore: rows.length > shown.length };
}

/** A version of a harness, the newest if none is named; undefined if there is none, or it has been deleted. */
export function findStoredHarness({ sql }: Storage, name: string, version?: number): StoredHarness | undefined {
  const [row] = sql<Row>(
    `SELECT name, version, body, created_at FROM harnesses
     WHERE deleted_at IS NULL AND name = ? ${version === undefined ? "" : "AND version = ?"} ORDER BY version DESC LIMIT 1`,
    ...(version === undefined ? [name] : [name, version]),
  );
  return row && { name: row.name, version: row.version, body: row.body, createdAt: row.created_at };
}

/** Who changes a harness, of which organisation, and when. */
type Change = { org: string; actor: string; at: number };

/** Adds a version, and returns the newest: it is the same if its body is. Undefined if the organisation has too many names. */
export function addHarness(
  storage: Storage,
  { name, body }: Pick<StoredHarness, "name" | "body">,
  by: Change,
): StoredHarness | undefined {
  const { sql, transact } = storage;
  return transact(() => {
    const newest = findStoredHarness(storage, name);
    if (newest?.body === body) return newest;
    if (newest === undefined && countNames(storage) >= MAX_HARNESSES) return undefined;
    // Those that are deleted count as well.
    const [{ last }] = sql<{ last: number }>(
      "SELECT coalesce(max(version), 0) AS last FROM harnesses WHERE name = ?",
      name,
    ) as [{ last: number }];
    const added: StoredHarness = { name, version: last + 1, body, createdAt: by.at };
    const row = [name, added.version, body, by.at];
    sql("INSERT INTO harnesses (name, version, body, created_at) VALUES (?, ?, ?, ?)", ...row);
    audit(storage, newest === undefined ? "harness.created" : "harness.changed", added, by);
    return added;
  });
}

/** Removes all versions of a harness. Returns false if there was none. */
export function removeHarness(storage: Storage, name: string, by: Change): boolean {
  const { sql, transact } = storage;
  return transact(() => {
    const newest = findStoredHarness(storage, name);
    if (newest === undefined) return false;
    sql("UPDATE harnesses SET deleted_at = ?, body = '' WHERE name = ? AND deleted_at IS NULL", by.at, name);
    audit(storage, "harness.deleted", newest, by);
    return true;
  });
}

const countNames = ({ sql }: Storage): number =>
  sql<{ names: number }>("SELECT count(DISTINCT name) AS names FROM harnesses WHERE deleted_at IS NULL")[0]!.names;

/** Enqueues the audit event of a change, without the definition. */
function audit({ sql }: Storage, action: AuditEvent["action"], { name, version }: StoredHarness, by: Change): void {
  enqueueAudit(sql, { ...by, action, target: harnessIdOf({ name }), details: { version } });
}
