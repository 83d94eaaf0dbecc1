import type { Sql } from "../store/sql.ts";

/** Where a response is that goes by its provider's own id: the place of its session's object, and its call there. */
export type ResponseLocation = { place: string; call: string };

/** One shard of an organisation's directory: providers' response ids → where they are. It is made when first written to. */
export class ResponseIndex {
  readonly #sql: Sql;
  #hasTable: boolean;

  constructor(sql: Sql) {
    this.#sql = sql;
    this.#hasTable = sql("SELECT 1 FROM sqlite_master WHERE name = 'ids'").length > 0;
  }

  /** The newest of an id's places counts: some hosts give every response the same id. */
  put(id: string, { place, call }: ResponseLocation): void {
    if (!this.#hasTable)
      this.#sql("CREATE TABLE ids (id TEXT PRIMARY KEY, place TEXT NOT NULL, call TEXT NOT NULL) WITHOUT ROWID");
    this.#hasTable = true;
    this.#sql("INSERT OR REPLACE INTO ids (id, place, call) VALUES (?, ?, ?)", id, place, call);
  }

  find(id: string): ResponseLocation | undefined {
    if (!this.#hasTable) return undefined;
    return this.#sql<ResponseLocation>("SELECT place, call FROM ids WHERE id = ?", id)[0];
  }

  remove(id: string): void {
    if (this.#hasTable) this.#sql("DELETE FROM ids WHERE id = ?", id);
  }
}
