import type { Sql } from "../../store/sql.ts";

/** For how long a transcript is recognised by its words. Milliseconds. */
const RECOGNISED_MS = 24 * 60 * 60 * 1000;
/** Old rows that one write removes: more than it adds. */
const REMOVED_AT_ONCE = 4;

/**
 * One shard of a key's index from transcripts to conversations: the hash after a turn's reply leads to the conversation
 * in which the turn stands. Its table is created by the first write.
 */
export class TranscriptIndex {
  readonly #sql: Sql;
  readonly #now: () => number;
  #hasTable: boolean;

  constructor(sql: Sql, now: () => number) {
    this.#sql = sql;
    this.#now = now;
    this.#hasTable = sql("SELECT 1 FROM sqlite_master WHERE name = 'transcripts'").length > 0;
  }

  /** The newest conversation with the transcript wins. */
  put(hash: string, conversation: string): void {
    if (!this.#hasTable) {
      this.#sql("CREATE TABLE transcripts (hash TEXT PRIMARY KEY, conversation TEXT NOT NULL, at INTEGER NOT NULL)");
      this.#sql("CREATE INDEX transcripts_by_at ON transcripts (at)");
      this.#hasTable = true;
    }
    const now = this.#now();
    this.#sql("INSERT OR REPLACE INTO transcripts (hash, conversation, at) VALUES (?, ?, ?)", hash, conversation, now);
    this.#sql(
      "DELETE FROM transcripts WHERE hash IN (SELECT hash FROM transcripts WHERE at < ? ORDER BY at LIMIT ?)",
      now - RECOGNISED_MS,
      REMOVED_AT_ONCE,
    );
  }

  /** The conversation of the first of these transcripts that is known. */
  find(hashes: readonly string[]): string | undefined {
    if (!this.#hasTable) return undefined;
    for (const hash of hashes) {
      const rows = this.#sql<{ conversation: string }>(
        "SELECT conversation FROM transcripts WHERE hash = ? AND at >= ?",
        hash,
        this.#now() - RECOGNISED_MS,
      );
      if (rows[0] !== undefined) return rows[0].conversation;
    }
    return undefined;
  }
}
