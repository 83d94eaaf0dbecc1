import type { StatelessCall } from "../gateway/call/call.ts";
import type { JournalEntry, RecordedStream } from "../session/call-journal.ts";
import type { CallRecord } from "../store/records.ts";
import type { SessionRecord } from "../store/sessions.ts";
import { Batcher, chunkBySize } from "../wire/batcher.ts";
import {
  decodeObjectId,
  journalIn,
  newId,
  newJournalId,
  createdAtOf,
  objectIdIn,
  encodeObjectId,
  withPrefix,
} from "../wire/id.ts";
import { newSessionId } from "./session-stubs.ts";
import { sleep } from "../wire/time.ts";

type Journals = Cloudflare.Env["JOURNALS"];

/** What one entry may hold, in UTF-16 code units: what is larger goes to the session's own object at once. */
const MAX_ENTRY = 64_000;
/** The most that crosses at once, in the same: a message between objects may have 32 MiB. */
const MAX_BATCH = 4_000_000;
/** How long an isolate fills one journal; an object may have 10 GB, and a thousand calls a second are a GB in ten minutes. */
const JOURNAL_LIFETIME = 60 * 60_000;
/** How long after its beginning a call may still be on its way to its journal, and how often one looks. Milliseconds. */
const ENTRY_DELAY = 2_000;
const POLL_INTERVAL = 50;

const BATCHER = new Batcher<JournalEntry>();
let current: { journal: string; until: number } | undefined;

/** The ids of a call and of the session that it begins, and that session's place. `isJournaled`: the call is stateless. */
export function newCallIds(
  { SESSIONS, JOURNALS }: Pick<Cloudflare.Env, "SESSIONS" | "JOURNALS">,
  now: number,
  isJournaled: boolean,
): { id: string; sessionId: string; objectId: string } {
  if (!isJournaled) {
    const { id: sessionId, objectId } = newSessionId(SESSIONS);
    return { id: newId("call", now, objectId), sessionId, objectId };
  }
  if (current === undefined || now > current.until)
    current = { journal: encodeObjectId(JOURNALS.newUniqueId().toString()), until: now + JOURNAL_LIFETIME };
  const id = newJournalId("call", now, current.journal);
  return { id, sessionId: withPrefix(id, "sess"), objectId: objectIdIn("call", id)! };
}

/**
 * Writes a call into its journal, with others of this isolate, instead of into a session of its own: that is made of it
 * when somebody asks for it. False: it is too large for that. `told`: its stream.
 */
export function enterInJournal(
  { record, said: content, received }: Omit<StatelessCall, "isNew">,
  stream: RecordedStream | undefined,
  { journals, waitUntil }: { journals: Journals; waitUntil: (work: Promise<unknown>) => void },
): boolean {
  // Seen before anything of it is written down.
  if ((content?.input.items.length ?? 0) + (content?.output.items.length ?? 0) > MAX_ENTRY) return false;
  // What it cost is settled by the record that goes from here; its session tells it nobody again.
  const { charge: _, ...uncharged } = record;
  const call = {
    record: uncharged,
    isNew: true,
    ...(content && { said: content }),
    ...(received !== undefined && { received }),
  };
  const text = JSON.stringify(call satisfies StatelessCall);
  if (text.length + (stream?.bytes.length ?? 0) > MAX_ENTRY) return false;
  const payload = `${JSON.stringify(record)},${JSON.stringify(toSessionRecord(record))}`;
  const entry = { id: record.id, org: record.org, text, payload, ...(stream !== undefined && { told: stream }) };
  BATCHER.put([entry], { flush: (entries) => writeEntries(entries, journals), waitUntil, now: Date.now });
  return true;
}

/** Each to its own: the hour may have struck in between. */
async function writeEntries(entries: readonly JournalEntry[], journals: Journals): Promise<void> {
  const byJournal = Map.groupBy(entries, ({ id }) => journalIn(objectIdIn("call", id)!)!);
  for (const [journal, some] of byJournal)
    for (const batch of chunkBySize(some, sizeOf, MAX_BATCH)) await findStub(journals, journal)?.enter(batch);
}

const sizeOf = ({ text, payload, told: stream }: JournalEntry): number =>
  text.length + payload.length + (stream?.bytes.length ?? 0);

/** The session as it will be, for lists. Any change of it has a higher revision. */
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

/** What a session's object at this place takes in; undefined when there is no such call. */
export async function findJournalEntry(
  journals: Journals,
  org: string,
  objectId: string,
): Promise<Pick<JournalEntry, "text" | "told"> | undefined> {
  const id = `call_${objectId}`;
  const stub = findStub(journals, journalIn(objectId)!);
  for (;;) {
    const found = await stub?.find(org, id);
    if (found !== undefined || Math.abs(Date.now() - createdAtOf(id)) > ENTRY_DELAY) return found;
    await sleep(POLL_INTERVAL);
  }
}

/** The inverse of writing it there, when the session's object has it. */
export async function removeJournalEntry(journals: Journals, org: string, objectId: string): Promise<void> {
  await findStub(journals, journalIn(objectId)!)?.strike(org, `call_${objectId}`);
}

/** undefined: no journal of ours. */
function findStub(journals: Journals, journal: string): ReturnType<Journals["get"]> | undefined {
  const hex = decodeObjectId(journal);
  if (hex === undefined) return undefined;
  try {
    return journals.get(journals.idFromString(hex));
  } catch {
    return undefined;
  }
}
