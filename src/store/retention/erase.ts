import { firstId } from "../../wire/id.ts";
import { findAfter, findUnfinished, MAX_SLICE_MS, type RecordPart } from "../archive/parts.ts";
import { keepOnly } from "../archive/rewrite.ts";
import { type ArchiveServices, sealNext } from "../archive/seal.ts";
import { moveOldRows } from "../old/move.ts";
import { type Erasure, findRequested, isErasedBy, noteErasure, WHOLE_ORGANIZATION } from "./erasures.ts";

/**
 * `eraseContent`: deletes a session with all of its content, if it exists. `isHeld`: whether a legal hold forbids that. `held`: ids of
 * erasures that wait for that reason.
 */
export type ErasureServices = ArchiveServices & {
  eraseContent: (org: string, id: string) => Promise<unknown>;
  isHeld: (org: string, id: string) => Promise<boolean>;
  held: Set<string>;
};

/** Rows that one statement removes, and sessions that one step does. */
const REMOVE = 500;
const SESSIONS = 25;

/**
 * Takes one step of the oldest erasure that no legal hold forbids: deletes content and rows in D1, then replaces each file that has
 * calls of it by one without them. A step that a crash has interrupted is repeated. Resolves to whether there may be more.
 */
export async function eraseNext(services: ErasureServices): Promise<boolean> {
  const { d1, now, isHeld, held } = services;
  const erasure = await findRequested(d1, [...held]);
  if (erasure === undefined) {
    held.clear();
    return false;
  }
  const { org, sessionId, checked } = erasure;
  if (await isHeld(org, sessionId)) return Boolean(held.add(erasure.id));
  // What is being moved or sealed may be of it.
  if (checked === null && (await moveOldRows(d1))) return true;
  if ((await findUnfinished(d1, [])) !== undefined) return await sealNext(services);
  if (checked === null && (await eraseSessions(services, erasure))) return true;
  const calls = await eraseRows(d1, erasure);
  if (calls > 0) {
    await noteErasure(d1, erasure, { calls });
    return true;
  }
  const part = await findNextPart(d1, erasure);
  if (part === undefined) {
    await d1.batch([
      d1.prepare("DELETE FROM session_records WHERE org = ?1 AND id = ?2").bind(org, sessionId),
      d1.prepare("DELETE FROM session_retention WHERE org = ?1 AND session_id = ?2").bind(org, sessionId),
    ]);
    await noteErasure(d1, erasure, { state: "done", doneAt: now() });
    return true;
  }
  const removed = await keepOnly(services, part, (row) => !isErasedBy(erasure, row));
  await noteErasure(d1, erasure, {
    checked: `${part.slice}/${part.part}`,
    calls: removed,
    files: Number(removed > 0),
  });
  return true;
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
