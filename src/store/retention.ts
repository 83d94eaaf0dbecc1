import { firstId } from "../wire/id.ts";
import { withOrganizations } from "./archive/organizations.ts";
import { filesOf, forgetPart, listOlder, MAX_SLICE_MS } from "./archive/parts.ts";

/**
 * What retention works on. `daysOf`: how long an organisation's data stay; `undefined`: for good. `expireSession`: deletes a
 * session with its content if it had no turn since `before`; resolves to the time of its last change if it had one.
 */
export type RetentionServices = {
  d1: D1Database;
  bucket: R2Bucket;
  now: () => number;
  daysOf: (org: string) => Promise<number | undefined>;
  expireSession: (org: string, id: string, before: number) => Promise<number | undefined>;
};

const DAY_MS = 24 * 60 * 60_000;
/** Longer than a queue keeps a record. */
const LATE_MS = 5 * DAY_MS;
/** Sessions, or files, that one step deletes, and rows that one statement removes. */
const STEP = 25;
const ROWS = 250;

/**
 * Deletes a part of what is older than its organisation wants it to be: sessions without a turn since, with their content; calls
 * and their files; the entries of sessions that were deleted so long ago. Can be interrupted and repeated at any time. Resolves
 * to whether there may be more.
 */
export async function applyRetention(services: RetentionServices): Promise<boolean> {
  for (const org of await listOrganizationIds(services.d1)) {
    const days = await services.daysOf(org);
    if (days === undefined) continue;
    const before = services.now() - days * DAY_MS;
    for (const remove of [removeSessions, removeTombstones, removeCalls, removeFiles])
      if (await remove(services, org, before)) return true;
  }
  return false;
}

/** Organisations that have something. */
async function listOrganizationIds(d1: D1Database): Promise<string[]> {
  const queries = [
    withOrganizations("session_records"),
    withOrganizations("call_records"),
    withOrganizations("record_parts", "source = 'calls'"),
  ];
  const results = await d1.batch<{ org: string }>(
    queries.map((query) => d1.prepare(`${query} SELECT org FROM orgs WHERE org IS NOT NULL`)),
  );
  return [...new Set(results.flatMap(({ results: rows }) => rows.map(({ org }) => org)))];
}

/** The session's own object decides: its entry may be older than its last turn. */
async function removeSessions({ d1, expireSession }: RetentionServices, org: string, before: number): Promise<boolean> {
  const { results } = await d1
    .prepare("SELECT id FROM session_records WHERE org = ?1 AND updated_at < ?2 AND status <> 'deleted' LIMIT ?3")
    .bind(org, before, STEP)
    .all<{ id: string }>();
  for (const { id } of results) {
    const changedAt = await expireSession(org, id, before);
    const [query, value] =
      changedAt === undefined
        ? [
            "UPDATE session_records SET status = 'deleted', metadata = '{}' WHERE org = ?1 AND id = ?2 AND updated_at < ?3",
            before,
          ]
        : ["UPDATE session_records SET updated_at = ?3 WHERE org = ?1 AND id = ?2 AND updated_at < ?3", changedAt];
    await d1.prepare(query).bind(org, id, value).run();
  }
  return results.length > 0;
}

/** A deleted session's entry protects its id from records that come late. */
async function removeTombstones({ d1 }: RetentionServices, org: string, before: number): Promise<boolean> {
  const { meta } = await d1
    .prepare(
      `DELETE FROM session_records WHERE org = ?1 AND id IN (
         SELECT id FROM session_records WHERE org = ?1 AND updated_at < ?2 AND status = 'deleted' LIMIT ?3)`,
    )
    .bind(org, before - LATE_MS, ROWS)
    .run();
  return meta.changes > 0;
}

/** Calls that are not in a file yet, and what was noted of others. */
async function removeCalls({ d1 }: RetentionServices, org: string, before: number): Promise<boolean> {
  const results = await d1.batch(
    ["call_records", "record_changes"].map((table) =>
      d1
        .prepare(
          `DELETE FROM ${table} WHERE org = ?1 AND id IN (
             SELECT id FROM ${table} WHERE org = ?1 AND id < ?2 ORDER BY id LIMIT ?3)`,
        )
        .bind(org, firstId("call", before), ROWS),
    ),
  );
  return results.some(({ meta }) => meta.changes > 0);
}

/** The files before their rows: what a kill leaves is found again. */
async function removeFiles({ d1, bucket }: RetentionServices, org: string, before: number): Promise<boolean> {
  const parts = await listOlder(d1, org, { before: before - MAX_SLICE_MS, limit: STEP });
  for (const part of parts) {
    await bucket.delete(filesOf(part));
    await forgetPart(d1, part);
  }
  return parts.length > 0;
}
