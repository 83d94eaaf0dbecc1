import type { Sql } from "../../store/sql.ts";
import { concatBytes } from "../../wire/bytes.ts";
import { decodeSse, type SseEvent } from "../../wire/sse.ts";
import {
  bytesAfter,
  type EventCount,
  type EventRow,
  isCounted,
  lastIdOf,
  NO_BYTES,
  type Segment,
  segmentsAfter,
  toRowParts,
  toSegments,
} from "./segments.ts";

/** How long a stream can be resumed after its end. Milliseconds. */
export const STREAM_RETENTION_MS = 10 * 60_000;
/**
 * A row is written when this many bytes are in memory or the first of them is this old, never per chunk: a row is a third
 * of what a call costs. A crash loses what is in memory, so that it cannot be resent; turns do not depend on it. Bytes
 * and milliseconds.
 */
const ROW_BYTES = 64 * 1024;
const ROW_MS = 5_000;
/** A row holds at most 2 MB; a larger event continues in further rows. Bytes. */
const MAX_ROW_BYTES = 1024 * 1024;
/** Shortest time between two clean-ups: each wakes the object. Milliseconds. */
const MIN_DROP_INTERVAL_MS = 30_000;

/** The stored part of a stream: the number of its events, and the last of them. */
export type StoredStream = { events: number; lastEvent: SseEvent | undefined };

/** A stream that still grows. `first`: the id of its first block. */
type LiveStream = { first: number; events: number; isStored: boolean };

/**
 * The streams and notices that a session sent to its listeners, in order, stored until ten minutes after the end of each
 * reply. The newest five seconds are in memory, the rest in rows: a slow reader costs no memory and delays no other, and
 * a crash loses no more than those seconds.
 */
export class EventBuffer {
  readonly #sql: Sql;
  readonly #now: () => number;
  readonly #onSegment: (segment: Segment) => void;
  /** Streams that have started and not ended, by call. */
  readonly #live = new Map<string, LiveStream>();
  #tail: Segment[] = [];
  #tailBytes = 0;
  /** When the first segment of the tail was added. Unix milliseconds. */
  #tailAt = 0;
  #newest: number | undefined;
  #growth: PromiseWithResolvers<void> | undefined;

  constructor(sql: Sql, now: () => number, onSegment: (segment: Segment) => void) {
    this.#sql = sql;
    this.#now = now;
    this.#onSegment = onSegment;
  }

  /** The newest id. A restarted object continues at the clock, in microseconds, so that ids lost in a crash are never reused. */
  get lastId(): number {
    if (this.#newest === undefined) {
      const [stored] = this.#sql<{ last: number | null }>("SELECT max(last) AS last FROM events");
      this.#newest = Math.max(stored?.last ?? 0, this.#now() * 1000);
    }
    return this.#newest;
  }

  /** Starts a stream; or goes on with one that has ended, whose last event has the number `events`. */
  start(call: string, events = 0): void {
    const first = (events === 0 ? undefined : this.#findStream(call)?.first) ?? this.lastId + 1;
    this.#live.set(call, { first, events, isStored: false });
  }

  /** Adds whole blocks to a started stream; ignored if the stream is not live. */
  append(call: string, bytes: Uint8Array, { blocks, events }: EventCount): void {
    const stream = this.#live.get(call);
    if (stream === undefined || bytes.length === 0) return;
    this.#add({ call, bytes, blocks, events, ordinal: stream.events + 1 });
    stream.events += events;
  }

  /** Adds JSON text about a call that is not part of its stream; only listeners of the session get it. */
  appendNotice(call: string, json: Uint8Array): void {
    this.#add({ call, bytes: json, blocks: 1, events: 0 });
  }

  /** Ends a stream and writes what is in memory. Its readers end when they have read it. */
  end(call: string): void {
    const stream = this.#live.get(call);
    if (stream === undefined) return;
    this.#live.delete(call);
    this.flush();
    this.#storeStream(call, stream, this.#now());
    this.#notifyReaders();
  }

  /** Ends a stream that a crash interrupted, or that it prevented from starting. `createLastEvent`: the bytes that report this, after what is stored. */
  interrupt(call: string, createLastEvent: (stored: StoredStream) => { bytes: Uint8Array; count: EventCount }): void {
    const [stored] = this.#sql<{ first: number }>("SELECT first FROM streams WHERE call = ?", call);
    const first = stored?.first ?? this.lastId + 1;
    const segments = [...this.segmentsSince(first - 1)].filter(
      (segment) => segment.call === call && segment.ordinal !== undefined,
    );
    const events = segments.reduce((sum, segment) => sum + segment.events, 0);
    this.#live.set(call, { first, events, isStored: stored !== undefined });
    const lastEvent = decodeSse(segments.at(-1)?.bytes ?? NO_BYTES).findLast(isCounted);
    const { bytes, count } = createLastEvent({ events, lastEvent });
    this.append(call, bytes, count);
    this.end(call);
  }

  /** The stored streams that have no end, as a crash leaves them. */
  listUnended(): string[] {
    const rows = this.#sql<{ call: string }>("SELECT call FROM streams WHERE ended_at IS NULL");
    return rows.flatMap(({ call }) => (this.#live.has(call) ? [] : [call]));
  }

  /** How many events a stream has so far; undefined if it is not stored. */
  countEvents(call: string): number | undefined {
    return this.#findStream(call)?.events;
  }

  /** Reads a stream's bytes after the event with the number `after` to its end, and waits for what is still to come. */
  readStream(call: string, after: number): AsyncGenerator<Uint8Array> {
    return this.#read(call, (this.#findStream(call)?.first ?? this.lastId + 1) - 1, after);
  }

  /** Reads what is still to come of a stream to its end. */
  readOn(call: string): AsyncGenerator<Uint8Array> {
    return this.#read(call, this.lastId, 0);
  }

  /** A stream's bytes behind the block with the id `at` and the event with the number `after`. */
  async *#read(call: string, at: number, after: number): AsyncGenerator<Uint8Array> {
    for (;;) {
      const hasEnded = !this.#live.has(call);
      const segments = this.#readAfter(at);
      const rest = concatBytes(
        segments.map((segment) => (segment.call === call ? bytesAfter(segment, after) : NO_BYTES)),
      );
      if (rest.length > 0) yield rest;
      if (segments.length > 0) {
        at = lastIdOf(segments.at(-1)!);
        continue;
      }
      if (hasEnded) return;
      await (this.#growth ??= Promise.withResolvers()).promise;
    }
  }

  /** All stored segments after an id, without waiting for more. */
  *segmentsSince(id: number): Generator<Segment> {
    const last = this.lastId;
    for (let at = id; at < last;) {
      const segments = this.#readAfter(at);
      if (segments.length === 0) return;
      yield* segments;
      at = lastIdOf(segments.at(-1)!);
    }
  }

  /** Whether every segment after this id is still stored. */
  hasAllSince(id: number): boolean {
    const [dropped] = this.#sql<{ last: number }>("SELECT last FROM dropped");
    return id >= (dropped?.last ?? 0);
  }

  /** Deletes expired streams and rows. Returns when to run again, in Unix milliseconds; undefined if nothing is left. */
  dropExpired(): number | undefined {
    const now = this.#now();
    const expired = now - STREAM_RETENTION_MS;
    let oldest = this.#readOldest();
    if (Math.min(oldest.ended ?? Infinity, oldest.written ?? Infinity) <= expired) {
      this.#sql("DELETE FROM streams WHERE ended_at <= ?", expired);
      this.#dropBefore(Math.min(this.#firstStreamed(), this.#firstWrittenAfter(expired)));
      oldest = this.#readOldest();
    }
    const next = oldest.ended ?? oldest.written;
    return next === null ? undefined : Math.max(next + STREAM_RETENTION_MS, now + MIN_DROP_INTERVAL_MS);
  }

  /** When the first stream has ended of those that are stored, and when the first row was written. */
  #readOldest(): { ended: number | null; written: number | null } {
    return this.#sql<{ ended: number | null; written: number | null }>(
      "SELECT (SELECT min(ended_at) FROM streams) AS ended, (SELECT written_at FROM events ORDER BY last LIMIT 1) AS written",
    )[0]!;
  }

  /** Writes what is only in memory to rows. */
  flush(): void {
    if (this.#tail.length === 0) return;
    const parts = toRowParts(this.#tail);
    const whole = concatBytes(this.#tail.map(({ bytes }) => bytes));
    const now = this.#now();
    for (let at = 0; at < whole.length; at += MAX_ROW_BYTES) {
      this.#sql(
        "INSERT INTO events (last, part, parts, bytes, written_at) VALUES (?, ?, ?, ?, ?)",
        this.lastId,
        at,
        at === 0 ? JSON.stringify(parts) : "",
        whole.slice(at, at + MAX_ROW_BYTES).buffer,
        now,
      );
    }
    for (const [call] of parts) {
      const stream = this.#live.get(call);
      // A crash from here on leaves a row by which `interrupt` finds the stream.
      if (stream !== undefined && !stream.isStored) this.#storeStream(call, stream, null);
    }
    this.#tail = [];
    this.#tailBytes = 0;
  }

  #add(added: Omit<Segment, "id">): void {
    const segment = { ...added, id: this.lastId + 1 };
    const now = this.#now();
    if (this.#tail.length === 0) this.#tailAt = now;
    this.#newest = lastIdOf(segment);
    this.#tail.push(segment);
    this.#tailBytes += segment.bytes.length;
    this.#onSegment(segment);
    if (this.#tailBytes >= ROW_BYTES || now - this.#tailAt >= ROW_MS) this.flush();
    this.#notifyReaders();
  }

  /** The id of the first block that a stream still needs; the next id if there is no stream. */
  #firstStreamed(): number {
    const live = [...this.#live.values()].map(({ first }) => first);
    const [stored] = this.#sql<{ first: number | null }>("SELECT min(first) AS first FROM streams");
    return Math.min(...live, stored?.first ?? Infinity, this.lastId + 1);
  }

  /** An id in the first row written after this time. Rows are in the order in which they were written. */
  #firstWrittenAfter(time: number): number {
    const [row] = this.#sql<{ last: number }>(
      "SELECT last FROM events WHERE written_at > ? ORDER BY last LIMIT 1",
      time,
    );
    return row?.last ?? Infinity;
  }

  /** Deletes the rows that end before an id, and stores up to which id they reached. */
  #dropBefore(id: number): void {
    const dropped = this.#sql<{ last: number }>("DELETE FROM events WHERE last < ? RETURNING last", id);
    if (dropped.length === 0) return;
    const last = Math.max(...dropped.map((row) => row.last));
    this.#sql("INSERT OR REPLACE INTO dropped (id, last) VALUES (1, ?)", last);
  }

  #storeStream(call: string, stream: LiveStream, endedAt: number | null): void {
    stream.isStored = true;
    this.#sql(
      "INSERT OR REPLACE INTO streams (call, first, events, ended_at) VALUES (?, ?, ?, ?)",
      call,
      stream.first,
      stream.events,
      endedAt,
    );
  }

  #notifyReaders(): void {
    this.#growth?.resolve();
    this.#growth = undefined;
  }

  #findStream(call: string): { first: number; events: number } | undefined {
    return (
      this.#live.get(call) ??
      this.#sql<{ first: number; events: number }>("SELECT first, events FROM streams WHERE call = ?", call)[0]
    );
  }

  /** The next segments after an id: those of one row, or all that are in memory. */
  #readAfter(at: number): Segment[] {
    if (at >= this.lastId) return [];
    const [oldest] = this.#tail;
    const isInMemory = oldest !== undefined && at >= oldest.id - 1;
    const rows = isInMemory ? [] : this.#rowAfter(at);
    return segmentsAfter(rows.length === 0 ? this.#tail : toSegments(rows), at);
  }

  /** The records of the first row that ends after an id; none if there is no such row. */
  #rowAfter(at: number): EventRow[] {
    return this.#sql<EventRow>(
      "SELECT * FROM events WHERE last = (SELECT min(last) FROM events WHERE last > ?) ORDER BY part",
      at,
    );
  }
}
