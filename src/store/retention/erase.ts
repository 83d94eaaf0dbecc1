import { firstId } from "../../wire/id.ts";
import { findAfter, MAX_SLICE_MS, type RecordPart } from "../archive/parts.ts";
import { keepOnly } from "../archive/rewrite.ts";
import { type ArchiveServices, finishOne } from "../archive/seal.ts";
import { moveOldRows } from "../old/move.ts";
import { RUN_TABLES } from "../run-records.ts";
import { type Erasure, findRequested, isErasedBy, noteErasure, WHOLE_ORGANIZATION } from "./erasures.ts";

/**
 * `eraseContent`: deletes a session with all of its content, if it exists. `isHeld`: whether a legal hold forbids that. `waiting`: ids of
 * erasures that a hold forbids, or whose last step has failed: the others go on.
 */
export type ErasureServices = ArchiveServices & {
  eraseContent: (org: string, id: string) => Promise<unknown>;
  isHeld: (org: string, id: string) => Promise<boolean>;
  waiting: Set<string>;
};

/** Rows that one statement removes, and sessions that one step does. */
const REMOVE = 500;
const SESSIONS = 25;

/**
 * Takes one step of the oldest erasure that no legal hold forbids: deletes content and rows in D1, then replaces each file that has
 * calls of it by one without them. A step that a crash has interrupted is repeated. Resolves to whether there may be more.
 */
export async function eraseNext(services: ErasureServices): Promise<boolean> {
  const { d1, isHeld, waiting } = services;
  const erasure = await findRequested(d1, [...waiting]);
  if (erasure === undefined) {
    waiting.clear();
    return await eraseLate(services);
  }
  if (await isHeld(erasure.org, erasure.sessionId)) {
    waiting.add(erasure.id);
    return true;
  }
  try {
    await eraseSome(services, erasure);
  } catch (cause) {
    waiting.add(erasure.id);
    throw cause;
  }
  return true;
}

/** Sessions of an erased organisation whose entries came after their organisation was done. Resolves to whether there were some. */
async function eraseLate({ d1, eraseContent, isHeld }: ErasureServices): Promise<boolean> {
  const { results } = await d1.prepare(LATE).bind(WHOLE_ORGANIZATION, SESSIONS).all<{ org: string; id: string }>();
  let count = 0;
  for (const { org, id } of results) {
    if (await isHeld(org, id)) continue;
    await eraseContent(org, id);
    await d1.prepare("DELETE FROM session_records WHERE org = ?1 AND id = ?2").bind(org, id).run();
    count++;
  }
  return count > 0;
}

const LATE = `SELECT listed.org, listed.id FROM erasures JOIN session_records AS listed
  ON listed.org = erasures.org AND listed.created_at < erasures.requested_at
  WHERE erasures.session_id = ?1 AND erasures.state = 'done' AND listed.status <> 'deleted' LIMIT ?2`;

async function eraseSome(services: ErasureServices, erasure: Erasure): Promise<void> {
  const { d1, now } = services;
  const { org, sessionId, checked } = erasure;
  // What is being moved or sealed may be of it.
  if (checked === null && (await moveOldRows(d1))) return;
  if (await finishOne(services, org)) return;
  if (checked === null && (await eraseSessions(services, erasure))) return;
  const calls = await eraseRows(d1, erasure);
  if (calls > 0) {
    await noteErasure(d1, erasure, { calls });
    return;
  }
  const part = await findNextPart(d1, erasure);
  if (part === undefined) {
    await d1.batch([
      d1.prepare("DELETE FROM session_records WHERE org = ?1 AND id = ?2").bind(org, sessionId),
      d1.prepare("DELETE FROM session_retention WHERE org = ?1 AND session_id = ?2").bind(org, sessionId),
    ]);
    await noteErasure(d1, erasure, { state: "done", doneAt: now() });
    return;
  }
  const removed = await keepOnly(services, part, (row) => !isErasedBy(erasure, row));
  await noteErasure(d1, erasure, {
    checked: `${part.slice}/${part.part}`,
    calls: removed,
    files: Number(removed > 0),
  });
}

/** Deletes the content of a session, or of some of an organisation's. Resolves to whether there may be more of those. */
async function eraseSessions({ d1, eraseContent }: ErasureServices, erasure: Erasure): Promise<boolean> {
  const { org, sessionId, requestedAt } = erasure;
  if (sessionId !== WHOLE_ORGANIZATION) {
    await eraseContent(org, sessionId);
    return false;
  }
  const { results } = await d1
    .prepare("SELECT id FROM session_records WHERE org = ?1 AND created_at < ?2 LIMIT ?3")
    .bind(org, requestedAt, SESSIONS)
    .all<{ id: string }>();
  for (const { id } of results) {
    await eraseContent(org, id);
    await d1.prepare("DELETE FROM session_records WHERE org = ?1 AND id = ?2").bind(org, id).run();
  }
  return results.length > 0;
}

/** Removes rows of calls from D1, and what is noted of others. Resolves to the number of calls. */
async function eraseRows(d1: D1Database, { org, sessionId, requestedAt }: Erasure): Promise<number> {
  const [isOfIt, value] =
    sessionId === WHOLE_ORGANIZATION ? ["id < ?2", firstId("call", requestedAt)] : ["session_id = ?2", sessionId];
  const [calls] = await d1.batch([
    d1
      .prepare(
        `DELETE FROM call_records WHERE org = ?1 AND id IN (
           SELECT id FROM call_records WHERE org = ?1 AND ${isOfIt} LIMIT ?3)`,
      )
      .bind(org, value, REMOVE),
    d1.prepare(`DELETE FROM record_changes WHERE org = ?1 AND ${isOfIt}`).bind(org, value),
    ...RUN_TABLES.map((table) =>
      sessionId === WHOLE_ORGANIZATION
        ? d1.prepare(`DELETE FROM ${table} WHERE org = ?1 AND created_at < ?2`).bind(org, requestedAt)
        : d1.prepare(`DELETE FROM ${table} WHERE org = ?1 AND session_id = ?2`).bind(org, sessionId),
    ),
  ]);
  return calls!.meta.changes;
}

/** The next file that may have calls of it: those from before a session was created have none of that. */
async function findNextPart(d1: D1Database, { org, sessionId, checked }: Erasure): Promise<RecordPart | undefined> {
  if (checked !== null) {
    const [slice, part] = checked.split("/").map(Number) as [number, number];
    return await findAfter(d1, org, { slice, part });
  }
  const session = await d1
    .prepare("SELECT created_at FROM session_records WHERE org = ?1 AND id = ?2")
    .bind(org, sessionId)
    .first<{ created_at: number }>();
  return await findAfter(d1, org, { slice: (session?.created_at ?? 0) - MAX_SLICE_MS, part: 0 });
}
