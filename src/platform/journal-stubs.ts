import type { JournaledCall } from "../gateway/call/call.ts";
import { readJournaledCall } from "../gateway/session/import-call.ts";
import type { FoundEntry, JournalEntry, RecordedStream } from "../session/call-journal.ts";
import { SharedRequests } from "../session/shared-requests.ts";
import type { CallRecord } from "../store/records.ts";
import type { SessionRecord } from "../store/sessions.ts";
import { Batcher, chunkBySize, tryInHalves } from "../wire/batcher.ts";
import { createdAtOf, encodeObjectId, journalIn, newId, newJournalId, objectIdIn, withPrefix } from "../wire/id.ts";
import { sleep } from "../wire/time.ts";
import { newSessionId, parseObjectId } from "./session-stubs.ts";

type Journals = Cloudflare.Env["JOURNALS"];
type JournalStub = ReturnType<Journals["get"]>;

/** Largest journal entry, in UTF-16 code units. A larger call is sent to its session's object at once. */
const MAX_ENTRY = 4_000_000;
/** Largest batch of entries in one RPC, in the same unit. The platform allows 32 MiB per RPC. */
const MAX_BATCH = 4_000_000;
/** How long an isolate writes to one journal, and how much: an object may store 10 GB. Milliseconds; UTF-16 code units. */
const JOURNAL_LIFETIME = 60 * 60_000;
const MAX_JOURNAL = 1_000_000_000;
/** How long a finished call waits for others of its isolate. A crash of the isolate loses those that wait. Milliseconds. */
const GATHER_MS = 250;
/**
 * How long after a call's start its entry is looked for at least, and how often. A longer call may have ended just now, so
 * that its entry waits in another isolate. Milliseconds.
 */
const ENTRY_DELAY = 2_000;
const POLL_INTERVAL = 50;

/** An entry on its way, and the request of which it may have only a part. */
type WaitingEntry = { entry: JournalEntry; request: string | undefined };

const BATCHER = new Batcher<WaitingEntry>();
const REQUESTS = new SharedRequests();
let current: { journal: string; until: number; size: number } | undefined;

/**
 * Ids for a call and the session that it creates, and the id of that session's object. `isJournaled`: the session stays
 * in a journal until its first access, and its id names the journal.
 */
export function newCallIds(
  { SESSIONS, JOURNALS }: Pick<Cloudflare.Env, "SESSIONS" | "JOURNALS">,
  now: number,
  isJournaled: boolean,
): { id: string; sessionId: string; objectId: string } {
  if (!isJournaled) {
    const { id: sessionId, objectId } = newSessionId(SESSIONS);
    return { id: newId("call", now, objectId), sessionId, objectId };
  }
  if (current === undefined || now > current.until || current.size > MAX_JOURNAL)
    current = { journal: encodeObjectId(JOURNALS.newUniqueId().toString()), until: now + JOURNAL_LIFETIME, size: 0 };
  const id = newJournalId("call", now, current.journal);
  return { id, sessionId: withPrefix(id, "sess"), objectId: objectIdIn("call", id)! };
}

/**
 * Writes a finished stateless call to its journal, batched with others of this isolate. Its session is created from the
 * entry at the first access. Returns false if the call is too large for an entry.
 */
export function enterInJournal(
  { call: { record, ...rest }, request }: { call: Omit<JournaledCall, "isNew">; request?: string },
  stream: RecordedStream | undefined,
  { journals, waitUntil }: { journals: Journals; waitUntil: (work: Promise<unknown>) => void },
): boolean {
  // Checked before anything is serialised.
  const { said: content, answered } = rest;
  const items = [content?.input, content?.output, answered?.output].map((part) => part?.items.length ?? 0);
  if (items.reduce((sum, length) => sum + length, request?.length ?? 0) > MAX_ENTRY) return false;
  // The charge is settled by the record in `payload`; the session must not settle it again.
  const { charge: _, ...uncharged } = record;
  const text = JSON.stringify({ record: uncharged, isNew: true, ...rest } satisfies JournaledCall);
  if (text.length + (request?.length ?? 0) + (stream?.bytes.length ?? 0) > MAX_ENTRY) return false;
  const payload = `${JSON.stringify(record)},${JSON.stringify(toSessionRecord(record))}`;
  const { id, org, keyId } = record;
  const shared =
    request !== undefined && REQUESTS.share(request, { owner: `${org} ${keyId}`, journal: journalOf(id), id });
  const entry: JournalEntry = { id, org, text, payload, ...shared, ...(stream !== undefined && { told: stream }) };
  if (current !== undefined) current.size += sizeOf(entry);
  const flush = (entries: WaitingEntry[]): Promise<void> => writeEntries(entries, journals);
  BATCHER.put([{ entry, request }], { flush, waitMs: GATHER_MS, waitUntil, now: Date.now });
  return true;
}

/**
 * Writes entries to their journals: a batch may hold those of two, if the isolate changed its journal in between. Never
 * rejects: an entry that cannot be stored loses no other, and is lost with a line in the log.
 */
async function writeEntries(entries: readonly WaitingEntry[], journals: Journals): Promise<void> {
  for (const [journal, some] of Map.groupBy(entries, ({ entry }) => journalOf(entry.id)))
    for (const batch of chunkBySize(some, ({ entry }) => sizeOf(entry), MAX_BATCH))
      await tryInHalves(batch, (part) => storeEntries(part, findStub(journals, journal)!));
}

/** Stores entries of one journal. Those whose base the journal no longer has are stored whole. */
async function storeEntries(entries: readonly WaitingEntry[], stub: JournalStub): Promise<void> {
  try {
    const refused = new Set(await store(entries, stub));
    const again = entries.filter(({ entry }) => refused.has(entry.id));
    for (const { entry } of again) REQUESTS.forget(entry.base!.id);
    if (again.length > 0) await stub.store(again.map(toWholeEntry));
    REQUESTS.onStored(entries.map(({ entry }) => entry.id));
  } catch (cause) {
    if (entries.length === 1) console.error("a call could not be stored", entries[0]!.entry.id, cause);
    throw cause;
  }
}

/** During a deployment the object may be one of an older version: it knows only entries with decoded requests. */
async function store(entries: readonly WaitingEntry[], stub: JournalStub): Promise<readonly string[]> {
  try {
    return await stub.store(entries.map(({ entry }) => entry));
  } catch (cause) {
    if (!String(cause).includes("does not implement")) throw cause;
    await stub.enter(entries.map(toDecodedEntry));
    return [];
  }
}

function toDecodedEntry({ entry: { base: _, request: __, ...entry }, request }: WaitingEntry): JournalEntry {
  const found = { text: entry.text, ...(request !== undefined && { request }) };
  return { ...entry, text: JSON.stringify(readJournaledCall(found)) };
}

const toWholeEntry = ({ entry: { base: _, ...entry }, request }: WaitingEntry): JournalEntry =>
  request === undefined ? entry : { ...entry, request };

/** The journal of a call's entry. */
const journalOf = (call: string): string => journalIn(objectIdIn("call", call)!)!;

const sizeOf = ({ text, payload, request = "", told: stream }: JournalEntry): number =>
  text.length + payload.length + request.length + (stream?.bytes.length ?? 0);

/** The session's row for lists, as it will be after the import. Every later change has a higher revision. */
const toSessionRecord = ({ org, sessionId, turnId, createdAt, endedAt }: CallRecord): SessionRecord => ({
  object: "session",
  id: sessionId,
  org,
  status: "active",
  ...(turnId !== undefined && { head: turnId }),
  turns: turnId === undefined ? 0 : 1,
  metadata: {},
  revision: 1,
  createdAt,
  updatedAt: endedAt,
});

/**
 * The journal entry from which a session's object imports itself; `undefined` if there is none. An entry that waits in this
 * isolate is written first; one of another isolate may be on its way for a while.
 */
export async function findJournalEntry(
  journals: Journals,
  org: string,
  objectId: string,
): Promise<FoundEntry | undefined> {
  const id = `call_${objectId}`;
  const stub = findStub(journals, journalIn(objectId)!);
  const now = Date.now();
  const startedAt = createdAtOf(id);
  const isFresh = Math.abs(now - startedAt) < ENTRY_DELAY;
  const until = Math.max(isFresh ? startedAt + ENTRY_DELAY : now, now + 2 * GATHER_MS);
  await writeEntries(BATCHER.takeAll(), journals);
  for (;;) {
    const found = await stub?.find(org, id);
    if (found !== undefined || Date.now() > until) return found;
    await sleep(POLL_INTERVAL);
  }
}

/** Deletes the entry, once the session's object has imported it durably. */
export async function removeJournalEntry(journals: Journals, org: string, objectId: string): Promise<void> {
  await findStub(journals, journalIn(objectId)!)?.strike(org, `call_${objectId}`);
}

/** `undefined` if the id was not made by this deployment. */
function findStub(journals: Journals, journal: string): JournalStub | undefined {
  const id = parseObjectId(journals, journal);
  return id === undefined ? undefined : journals.get(id);
}
