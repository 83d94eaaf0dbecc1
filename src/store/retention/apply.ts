import { firstId, newId } from "../../wire/id.ts";
import { withOrganizations } from "../archive/organizations.ts";
import { filesOf, forgetPart, listOlder, MAX_SLICE_MS } from "../archive/parts.ts";
import { keepOnly } from "../archive/rewrite.ts";
import { type ArchiveServices, finishOne } from "../archive/seal.ts";
import { requestErasure } from "./erasures.ts";
import { listSessionRetention, type SessionRetention } from "./session-retention.ts";

/**
 * What retention works on. `policyOf`: how many days an organisation's data stay, none: for good, and whether it is under legal
 * hold. `expireSession`: deletes a session with its content if it had no turn since `before`; resolves to the time of its last
 * change if it had one. `seen`: keys of files that were looked at, of the pass that goes on.
 */
export type RetentionServices = ArchiveServices & {
  policyOf: (org: string) => Promise<{ days: number | undefined; isHeld: boolean }>;
  expireSession: (org: string, id: string, before: number) => Promise<number | undefined>;
  seen: Set<string>;
  skipped: Set<string>;
};

const DAY_MS = 24 * 60 * 60_000;
/** Longer than a queue keeps a record. */
const LATE_MS = 5 * DAY_MS;
/** Sessions, or files, that one step deletes, and rows that one statement removes. */
const STEP = 25;
const ROWS = 250;

/** Of one organisation: what is older is deleted. `own`: sessions that have retention of their own, or are held. */
type Scope = { org: string; before: number; own: readonly string[] };

/**
 * Deletes a part of what is older than its organisation wants it to be: sessions without a turn since, with their content; calls
 * and their files; the entries of sessions that were deleted so long ago. A session with retention of its own is erased when its
 * time has come, and stays in files until then. Can be interrupted and repeated at any time. Resolves to whether there may be more.
 */
export async function applyRetention(services: RetentionServices): Promise<boolean> {
  const { d1, seen, skipped } = services;
  for (const org of await listOrganizationIds(d1)) {
    if (skipped.has(org)) continue;
    try {
      if (await applyTo(services, org)) return true;
    } catch (cause) {
      skipped.add(org);
      throw cause;
    }
  }
  seen.clear();
  skipped.clear();
  return false;
}

async function applyTo(services: RetentionServices, org: string): Promise<boolean> {
  const { d1, now, policyOf } = services;
  const { days, isHeld } = await policyOf(org);
  if (isHeld) return false;
  if (await finishOne(services, org)) return true;
  const all = await listSessionRetention(d1, org);
  for (const session of all) await eraseExpired(services, session);
  if (days === undefined) return false;
  const scope = { org, before: now() - days * DAY_MS, own: all.map(({ sessionId }) => sessionId) };
  for (const remove of [removeSessions, removeTombstones, removeCalls, removeFiles])
    if (await remove(services, scope)) return true;
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

/** A session's own retention: it leaves with its calls, also those in files. */
async function eraseExpired(services: RetentionServices, session: SessionRetention): Promise<void> {
  const { d1, now, expireSession } = services;
  const { org, sessionId, legalHold, retentionDays } = session;
  if (legalHold || retentionDays === null) return;
  const before = now() - retentionDays * DAY_MS;
  const listed = await d1.prepare(LISTED).bind(org, sessionId).first<{ updated_at: number }>();
  if (listed === null || listed.updated_at >= before) return;
  const changedAt = await expireSession(org, sessionId, before);
  if (changedAt !== undefined) return await noteChangedAt(d1, { org, id: sessionId, before, changedAt });
  const id = newId("ers", now());
  await requestErasure(d1, { org, sessionId, id, requestedBy: "retention", requestedAt: now() });
}

const LISTED = "SELECT updated_at FROM session_records WHERE org = ?1 AND id = ?2";

/** The session's own object decides: its entry may be older than its last turn. */
async function removeSessions({ d1, expireSession }: RetentionServices, { org, before, own }: Scope): Promise<boolean> {
  const { results } = await d1
    .prepare(
      `SELECT id FROM session_records WHERE org = ?1 AND updated_at < ?2 AND status <> 'deleted'
         AND id NOT IN (SELECT value FROM json_each(?3)) LIMIT ?4`,
    )
    .bind(org, before, JSON.stringify(own), STEP)
    .all<{ id: string }>();
  for (const { id } of results) {
    const changedAt = await expireSession(org, id, before);
    if (changedAt !== undefined) await noteChangedAt(d1, { org, id, before, changedAt });
    else await d1.prepare(MARK_DELETED).bind(org, id, before).run();
  }
  return results.length > 0;
}

const MARK_DELETED =
  "UPDATE session_records SET status = 'deleted', metadata = '{}' WHERE org = ?1 AND id = ?2 AND updated_at < ?3";

async function noteChangedAt(
  d1: D1Database,
  { org, id, before, changedAt }: { org: string; id: string; before: number; changedAt: number },
): Promise<void> {
  const query = "UPDATE session_records SET updated_at = ?4 WHERE org = ?1 AND id = ?2 AND updated_at < ?3";
  await d1.prepare(query).bind(org, id, before, changedAt).run();
}

/** A deleted session's entry protects its id from records that come late. */
async function removeTombstones({ d1 }: RetentionServices, { org, before }: Scope): Promise<boolean> {
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
async function removeCalls({ d1 }: RetentionServices, { org, before, own }: Scope): Promise<boolean> {
  const results = await d1.batch(
    ["call_records", "record_changes"].map((table) =>
      d1
        .prepare(
          `DELETE FROM ${table} WHERE org = ?1 AND id IN (
             SELECT id FROM ${table} WHERE org = ?1 AND id < ?2
               AND session_id NOT IN (SELECT value FROM json_each(?3)) ORDER BY id LIMIT ?4)`,
        )
        .bind(org, firstId("call", before), JSON.stringify(own), ROWS),
    ),
  );
  return results.some(({ meta }) => meta.changes > 0);
}

/** A file goes before its row: what a kill leaves is found again. One with calls of sessions that stay is written anew. */
async function removeFiles(services: RetentionServices, { org, before, own }: Scope): Promise<boolean> {
  const { d1, bucket, seen } = services;
  const parts = await listOlder(d1, org, { before: before - MAX_SLICE_MS, without: [...seen], limit: STEP });
  const stays = new Set(own);
  for (const part of parts) {
    seen.add(part.key);
    if (stays.size > 0) {
      if ((await keepOnly(services, part, ({ session_id }) => stays.has(session_id))) > 0) return true;
      continue;
    }
    await bucket.delete(filesOf(part));
    await forgetPart(d1, part);
  }
  return parts.length > 0;
}
