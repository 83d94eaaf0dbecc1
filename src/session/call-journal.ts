import { enqueueText, OUTBOX_SCHEMA } from "../store/outbox.ts";
import { migrate, type Sql, type Storage } from "../store/sql.ts";
import { firstId } from "../wire/id.ts";
import { loadText, OVERFLOW_SCHEMA, storeText } from "./overflow.ts";
import type { RequestBase } from "./shared-requests.ts";
import { STREAM_RETENTION_MS } from "./stream/event-buffer.ts";
import type { EventCount } from "./stream/segments.ts";

/**
 * The schema of a journal: one object that holds the stateless calls of many sessions of one call each. Nearly none of
 * those sessions is ever read; one that is moves to an object of its own, and its entry is removed.
 * `told`: the bytes of streams. Steps are only ever added.
 */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE entries (id TEXT PRIMARY KEY, org TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE told (id TEXT PRIMARY KEY, blocks INTEGER NOT NULL, events INTEGER NOT NULL, bytes BLOB NOT NULL) WITHOUT ROWID;
   ${OUTBOX_SCHEMA};`,
  `${OVERFLOW_SCHEMA};`,
  `ALTER TABLE entries ADD COLUMN request TEXT;`,
  `ALTER TABLE entries ADD COLUMN base TEXT;
   ALTER TABLE entries ADD COLUMN base_length INTEGER;
   CREATE INDEX entries_by_base ON entries (base) WHERE base IS NOT NULL;`,
];

/** A whole stream, byte for byte as it was sent to its client. */
export type RecordedStream = { bytes: Uint8Array; count: EventCount };

/**
 * A call's entry. `id`: the call's. `text`: the import of the call into its session, as JSON. `request`: the body that its
 * client sent, without what `base` says. `payload`: the records of the call and its session, as outboxes have them. `told`: the stream, if the call
 * had one.
 */
export type JournalEntry = {
  id: string;
  org: string;
  text: string;
  request?: string;
  base?: RequestBase;
  payload: string;
  told?: RecordedStream;
};
/** `request`: the whole body. */
export type FoundEntry = Pick<JournalEntry, "text" | "request" | "told">;

/** Allowance for the running time of a call: its id has the time of its start, the retention counts from its end. Milliseconds. */
const MAX_CALL_MS = 60_000;

/** Entries of stateless calls, until they are imported by their sessions. Entries stay; streams expire. */
export class Journal {
  readonly #sql: Sql;
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#sql = storage.sql;
    this.#storage = storage;
    migrate(storage, MIGRATIONS);
  }

  /**
   * Stores entries and enqueues their records in one transaction. An entry that exists is not changed. Returns the ids of
   * those that were refused, as their base is no entry any more.
   */
  enter(entries: readonly JournalEntry[]): string[] {
    const refused = entries.filter(({ org, base }) => base !== undefined && !this.#has(org, base.id));
    const stored = entries.filter((entry) => !refused.includes(entry));
    this.#storage.transact(() => {
      for (const { id, org, text, request, base, payload, told: stream } of stored) {
        const first = storeText(this.#sql, id, text);
        const body = request === undefined ? null : storeText(this.#sql, requestOwner(id), request);
        this.#sql(
          "INSERT OR IGNORE INTO entries (id, org, text, request, base, base_length) VALUES (?, ?, ?, ?, ?, ?)",
          id,
          org,
          first,
          body,
          base?.id ?? null,
          base?.length ?? null,
        );
        if (stream !== undefined) this.#storeStream(id, stream);
        enqueueText(this.#sql, payload);
      }
    });
    return refused.map(({ id }) => id);
  }

  #has(org: string, id: string): boolean {
    return this.#sql("SELECT 1 FROM entries WHERE id = ? AND org = ?", id, org).length > 0;
  }

  /** undefined: there is no such entry, or it is another organisation's. */
  find(org: string, id: string): FoundEntry | undefined {
    const [row] = this.#sql<{ text: string }>("SELECT text FROM entries WHERE id = ? AND org = ?", id, org);
    if (row === undefined) return undefined;
    const request = this.#loadRequest(id);
    const found = { text: loadText(this.#sql, id, row.text), ...(request !== undefined && { request }) };
    const [stream] = this.#sql<EventCount & { bytes: ArrayBuffer }>(
      "SELECT blocks, events, bytes FROM told WHERE id = ?",
      id,
    );
    if (stream === undefined) return found;
    const { blocks, events, bytes } = stream;
    return { ...found, told: { bytes: new Uint8Array(bytes), count: { blocks, events } } };
  }

  /** Removes the entry of a call that its session has imported. Others keep what they share with it, and no more. */
  remove(org: string, id: string): void {
    this.#storage.transact(() => {
      const [entry] = this.#sql<{ base: string | null }>("SELECT base FROM entries WHERE id = ? AND org = ?", id, org);
      if (entry === undefined) return;
      this.#sql("DELETE FROM told WHERE id = ?", id);
      this.#sql("DELETE FROM overflow WHERE owner = ?", id);
      // No organisation has it any more, so it is not found.
      this.#sql("UPDATE entries SET org = '', text = '' WHERE id = ?", id);
      this.#trim(id);
      if (entry.base !== null) this.#trim(entry.base);
    });
  }

  /** Reduces a removed entry to what others share of it. */
  #trim(id: string): void {
    if (this.#sql("SELECT 1 FROM entries WHERE id = ? AND org = ''", id).length === 0) return;
    const [row] = this.#sql<{ length: number | null }>(
      "SELECT max(base_length) AS length FROM entries WHERE base = ?",
      id,
    );
    const shared = this.#loadRequest(id)?.slice(0, row?.length ?? 0) ?? "";
    this.#sql("DELETE FROM overflow WHERE owner = ?", requestOwner(id));
    if (shared === "") this.#sql("DELETE FROM entries WHERE id = ?", id);
    else this.#sql("UPDATE entries SET request = ? WHERE id = ?", storeText(this.#sql, requestOwner(id), shared), id);
  }

  /** The whole request of an entry. A base is an entry without a base of its own. */
  #loadRequest(id: string): string | undefined {
    const [row] = this.#sql<{ request: string | null; base: string | null; base_length: number | null }>(
      "SELECT request, base, base_length FROM entries WHERE id = ?",
      id,
    );
    if (row === undefined || row.request === null) return undefined;
    const own = loadText(this.#sql, requestOwner(id), row.request);
    if (row.base === null) return own;
    const base = this.#loadRequest(row.base);
    return base === undefined ? undefined : base.slice(0, row.base_length!) + own;
  }

  /** Deletes streams that can no longer be resumed. Returns whether others are left, which need a later call of this. */
  dropExpiredStreams(now: number): boolean {
    this.#sql("DELETE FROM told WHERE id < ?", firstId("call", now - STREAM_RETENTION_MS - MAX_CALL_MS));
    return this.#sql("SELECT 1 FROM told LIMIT 1").length > 0;
  }

  #storeStream(id: string, { bytes, count: { blocks, events } }: RecordedStream): void {
    const { buffer } = bytes.slice();
    this.#sql("INSERT OR IGNORE INTO told (id, blocks, events, bytes) VALUES (?, ?, ?, ?)", id, blocks, events, buffer);
  }
}

/** Owner of the rest of a request in `overflow`. */
const requestOwner = (id: string): string => `${id}/request`;
