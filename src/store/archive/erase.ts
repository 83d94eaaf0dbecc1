import { findRequested, noteErasure, type Erasure } from "../erasures.ts";
import { fromFileRow, toFileRow } from "./call-columns.ts";
import type { StoredRow } from "./columns.ts";
import { openFile, type OpenFile, readGroups } from "./parquet-file.ts";
import { findUnfinished, findAfter, MAX_SLICE_MS, type RecordPart } from "./parts.ts";
import { type ArchiveServices, replacePart, sealNext } from "./seal.ts";

/** `eraseContent`: deletes a session with all of its content, if it exists. */
export type ErasureServices = ArchiveServices & { eraseContent: (org: string, id: string) => Promise<unknown> };

/** Rows that one statement removes. */
const REMOVE = 250;

/**
 * Takes one step of the oldest erasure: deletes the session's content and its rows in D1, then replaces each file that has calls of
 * the session by one without them. A step that a crash has interrupted is repeated. Returns false if no erasure is requested.
 */
export async function eraseNext(services: ErasureServices): Promise<boolean> {
  const { d1, now, eraseContent } = services;
  const erasure = await findRequested(d1);
  if (erasure === undefined) return false;
  // What is being sealed may have the session's calls.
  if ((await findUnfinished(d1, [])) !== undefined) return await sealNext(services);
  const { org, sessionId, checked } = erasure;
  if (checked === null) await eraseContent(org, sessionId);
  const [removed] = await d1.batch([
    d1.prepare(REMOVE_ROWS).bind(org, sessionId, REMOVE),
    d1.prepare("DELETE FROM record_changes WHERE org = ?1 AND session_id = ?2").bind(org, sessionId),
  ]);
  if (removed!.meta.changes > 0) {
    await noteErasure(d1, erasure, { calls: removed!.meta.changes });
    return true;
  }
  const part = await findNextPart(d1, erasure);
  if (part === undefined) {
    await d1.prepare("DELETE FROM session_records WHERE org = ?1 AND id = ?2").bind(org, sessionId).run();
    await noteErasure(d1, erasure, { state: "done", doneAt: now() });
    return true;
  }
  const calls = await eraseFromPart(services, part, sessionId);
  await noteErasure(d1, erasure, { checked: `${part.slice}/${part.part}`, calls, files: Number(calls > 0) });
  return true;
}

const REMOVE_ROWS = `DELETE FROM call_records WHERE org = ?1 AND id IN (
  SELECT id FROM call_records WHERE org = ?1 AND session_id = ?2 LIMIT ?3)`;

/** The next file that may have calls of the session: those from before it was created have none. */
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

/** Resolves to the number of calls that the file had of the session. */
async function eraseFromPart(services: ErasureServices, part: RecordPart, sessionId: string): Promise<number> {
  const file = await openFile(services.bucket, part.key);
  if (file === undefined) throw new Error(`${part.key}: there is no such file`);
  let calls = 0;
  for await (const rows of readGroups(file, { columns: ["id", "session_id"] }))
    calls += rows.filter(({ session_id }) => session_id === sessionId).length;
  if (calls > 0) await replacePart(services, part, readOthers(file, sessionId), part.rows! - calls);
  return calls;
}

async function* readOthers(file: OpenFile, sessionId: string): AsyncGenerator<StoredRow[]> {
  for await (const rows of readGroups(file)) {
    const others = rows.map(fromFileRow).filter(({ session_id }) => session_id !== sessionId);
    if (others.length > 0) yield others.map(toFileRow);
  }
}
