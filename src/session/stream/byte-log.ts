import type { Sql } from "../../store/sql.ts";
import { concatBytes } from "../../wire/bytes.ts";

/** Bytes held in memory before they are written as a row, which holds at most 2 MB. */
const ROW_BYTES = 512 * 1024;

type Chunk = { at: number; bytes: Uint8Array };

/** Creates the log's table; runs before the first append. Rows of logs that were never finished are deleted with the whole database. */
export const BYTE_LOG_SCHEMA =
  "CREATE TABLE IF NOT EXISTS pieces (run INTEGER, at INTEGER, bytes BLOB NOT NULL, PRIMARY KEY (run, at)) WITHOUT ROWID";

/**
 * An append-only log of one answer's bytes. Any number of readers follow it from its start, each at its own pace, while
 * it grows and after it ended. All but the newest ROW_BYTES are in rows, so a long answer or a slow reader costs no memory.
 */
export class ByteLog {
  readonly #sql: Sql;
  readonly #run: number;
  readonly #tail: Chunk[] = [];
  #stored = 0;
  #size = 0;
  #end: { cause?: unknown } | undefined;
  #growth: PromiseWithResolvers<void> | undefined;

  constructor(sql: Sql, run: number) {
    this.#sql = sql;
    this.#run = run;
  }

  /** Opens a log that ended earlier, also in a predecessor of this object. `size`: bytes. */
  static reopen(sql: Sql, run: number, size: number): ByteLog {
    const log = new ByteLog(sql, run);
    log.#stored = log.#size = size;
    log.#end = {};
    return log;
  }

  /** Length in bytes, what is only in memory included. */
  get size(): number {
    return this.#size;
  }

  /** Adds bytes, which the log owns from then on. */
  append(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#tail.push({ at: this.#size, bytes });
    this.#size += bytes.length;
    if (this.#size - this.#stored >= ROW_BYTES) this.flush();
    this.#notifyReaders();
  }

  /** Writes what is only in memory to rows. */
  flush(): void {
    const whole = concatBytes(this.#tail.map(({ bytes }) => bytes));
    for (let at = 0; at < whole.length; at += ROW_BYTES) {
      const { buffer } = whole.slice(at, at + ROW_BYTES);
      this.#sql("INSERT INTO pieces (run, at, bytes) VALUES (?, ?, ?)", this.#run, this.#stored + at, buffer);
    }
    this.#tail.length = 0;
    this.#stored = this.#size;
  }

  /** Marks the log as complete. */
  end(): void {
    this.#end = {};
    this.#notifyReaders();
  }

  /** Marks the log as broken: its readers get the bytes so far, then `cause` is thrown. */
  fail(cause: unknown): void {
    this.#end = { cause };
    this.#notifyReaders();
  }

  /** Reads from the start to the end and waits for bytes that are still to come. The caller owns what it gets. Throws the cause of `fail`. */
  async *read(): AsyncGenerator<Uint8Array> {
    for (let at = 0; ;) {
      while (at < this.#size) {
        const more = at < this.#stored ? this.#readRow(at) : this.#readTail(at);
        at += more.length;
        yield more;
      }
      if (this.#end !== undefined && "cause" in this.#end) throw this.#end.cause;
      if (this.#end !== undefined) return;
      await (this.#growth ??= Promise.withResolvers()).promise;
    }
  }

  #readRow(from: number): Uint8Array {
    const [row] = this.#sql<{ at: number; bytes: ArrayBuffer }>(
      "SELECT at, bytes FROM pieces WHERE run = ? AND at <= ? ORDER BY at DESC LIMIT 1",
      this.#run,
      from,
    );
    const bytes = row === undefined ? undefined : new Uint8Array(row.bytes, from - row.at);
    if (bytes === undefined || bytes.length === 0) throw new Error("the recorded bytes are no longer stored");
    return bytes;
  }

  /** `from` is always the start of a chunk: a reader takes all of the tail at once. */
  #readTail(from: number): Uint8Array {
    let first = this.#tail.length;
    while (first > 0 && this.#tail[first - 1]!.at >= from) first--;
    const [only, ...rest] = this.#tail.slice(first).map(({ bytes }) => bytes);
    return rest.length === 0 ? only!.slice() : concatBytes([only!, ...rest]);
  }

  #notifyReaders(): void {
    this.#growth?.resolve();
    this.#growth = undefined;
  }
}
