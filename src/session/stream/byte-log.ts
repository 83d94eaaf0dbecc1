import { concatBytes } from "../../wire/bytes.ts";
import type { Sql } from "../../store/sql.ts";

/** What is in memory of a recording before it becomes a row; a row holds at most 2 MB. Bytes. */
const ROW_BYTES = 512 * 1024;

type Chunk = { at: number; bytes: Uint8Array };

/** To be made before anything is recorded. Rows of recordings that were never kept go with the whole database. */
export const BYTE_LOG_SCHEMA =
  "CREATE TABLE IF NOT EXISTS pieces (run INTEGER, at INTEGER, bytes BLOB NOT NULL, PRIMARY KEY (run, at)) WITHOUT ROWID";

/**
 * The bytes of one answer, which any number of readers follow from its beginning, each at its own pace, while it still
 * grows and after. What is old is in rows, so neither its length nor a slow reader costs memory.
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

  /** One that was recorded whole, in whatever life. */
  static reopen(sql: Sql, run: number, size: number): ByteLog {
    const log = new ByteLog(sql, run);
    log.#stored = log.#size = size;
    log.#end = {};
    return log;
  }

  /** Bytes. */
  get size(): number {
    return this.#size;
  }

  append(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#tail.push({ at: this.#size, bytes });
    this.#size += bytes.length;
    if (this.#size - this.#stored >= ROW_BYTES) this.flush();
    this.#notifyReaders();
  }

  /** Writes what is only in memory. */
  flush(): void {
    const whole = concatBytes(this.#tail.map(({ bytes }) => bytes));
    for (let at = 0; at < whole.length; at += ROW_BYTES) {
      const { buffer } = whole.slice(at, at + ROW_BYTES);
      this.#sql("INSERT INTO pieces (run, at, bytes) VALUES (?, ?, ?)", this.#run, this.#stored + at, buffer);
    }
    this.#tail.length = 0;
    this.#stored = this.#size;
  }

  /** Nothing more will come. */
  end(): void {
    this.#end = {};
    this.#notifyReaders();
  }

  /** It was broken off: so is what its readers are told. */
  fail(cause: unknown): void {
    this.#end = { cause };
    this.#notifyReaders();
  }

  /** All of it, to its end: waits for what is still to come. What it gives is the reader's own. Throws what broke it off. */
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
    if (bytes === undefined || bytes.length === 0) throw new Error("the recording is no longer kept");
    return bytes;
  }

  /** A reader in the tail stands at the beginning of a chunk: it has read all there was. */
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
