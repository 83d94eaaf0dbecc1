import { migrate, type Sql, type Storage } from "../store/sql.ts";
import { STREAM_RETENTION_MS } from "./stream/event-buffer.ts";
import { OUTBOX_SCHEMA, enqueueText } from "../store/outbox.ts";
import type { EventCount } from "./stream/segments.ts";
import { firstId } from "../wire/id.ts";

/**
 * Where stateless calls stand that begin sessions of their own, many in one object: nearly none of those sessions is
 * ever looked at. One that is gets an object of its own then, and its call leaves.
 */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE entries (id TEXT PRIMARY KEY, org TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE told (id TEXT PRIMARY KEY, blocks INTEGER NOT NULL, events INTEGER NOT NULL, bytes BLOB NOT NULL) WITHOUT ROWID;
   ${OUTBOX_SCHEMA};`,
];

/** All of a stream, as its client was told it. */
export type RecordedStream = { bytes: Uint8Array; count: EventCount };

/** `text`: what its session would take in, as JSON. `payload`: its record and its session's, as they go to the queue. */
export type JournalEntry = { id: string; org: string; text: string; payload: string; told?: RecordedStream };

/** How long a call may have run before it came here, at most: a longer one is told to its session. Milliseconds. */
const MAX_CALL_MS = 60_000;

export class Journal {
  readonly #sql: Sql;
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#sql = storage.sql;
    this.#storage = storage;
    migrate(storage, MIGRATIONS);
  }

  /** What comes twice stands there once. */
  enter(entries: readonly JournalEntry[]): void {
    this.#storage.transact(() => {
      for (const { id, org, text, payload, told: stream } of entries) {
        this.#sql("INSERT OR IGNORE INTO entries (id, org, text) VALUES (?, ?, ?)", id, org, text);
        if (stream !== undefined) this.#storeStream(id, stream);
        enqueueText(this.#sql, payload);
      }
    });
  }

  /** undefined: another organisation's, or not there. */
  find(org: string, id: string): Pick<JournalEntry, "text" | "told"> | undefined {
    const [found] = this.#sql<{ text: string }>("SELECT text FROM entries WHERE id = ? AND org = ?", id, org);
    if (found === undefined) return undefined;
    const [stream] = this.#sql<EventCount & { bytes: ArrayBuffer }>(
      "SELECT blocks, events, bytes FROM told WHERE id = ?",
      id,
    );
    if (stream === undefined) return found;
    const { blocks, events, bytes } = stream;
    return { ...found, told: { bytes: new Uint8Array(bytes), count: { blocks, events } } };
  }

  /** For a call whose session has taken it in. */
  remove(org: string, id: string): void {
    this.#storage.transact(() => {
      if (this.#sql("DELETE FROM entries WHERE id = ? AND org = ? RETURNING id", id, org).length === 0) return;
      this.#sql("DELETE FROM told WHERE id = ?", id);
    });
  }

  /** Drops the streams that can no longer be resumed. Whether there are others. */
  dropExpiredStreams(now: number): boolean {
    this.#sql("DELETE FROM told WHERE id < ?", firstId("call", now - STREAM_RETENTION_MS - MAX_CALL_MS));
    return this.#sql("SELECT 1 FROM told LIMIT 1").length > 0;
  }

  #storeStream(id: string, { bytes, count: { blocks, events } }: RecordedStream): void {
    const { buffer } = bytes.slice();
    this.#sql("INSERT OR IGNORE INTO told (id, blocks, events, bytes) VALUES (?, ?, ?, ?)", id, blocks, events, buffer);
  }
}
