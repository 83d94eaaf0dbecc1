import type { Sql } from "../../store/sql.ts";

/** Where a response is stored. `place`: the object id of its session. `call`: its call in that session. */
export type ResponseLocation = { place: string; call: string };

/**
 * One shard of an organisation's index from providers' response ids, and from ids of output items, to locations. Its
 * table is created by the first write.
 */
export class ResponseIndex {
  readonly #sql: Sql;
  #hasTable: boolean;

  constructor(sql: Sql) {
    this.#sql = sql;
    this.#hasTable = sql("SELECT 1 FROM sqlite_master WHERE name = 'ids'").length > 0;
  }

  /** Replaces an older location of the id: some providers give every response the same id. */
  put(id: string, { place, call }: ResponseLocation): void {
    this.#createTable();
    this.#sql("INSERT OR REPLACE INTO ids (id, place, call) VALUES (?, ?, ?)", id, place, call);
  }

  /**
   * As `put` for an id that must be unambiguous: an id that two calls give is found no more, since it could lead to
   * content of another conversation.
   */
  putUnique(id: string, { place, call }: ResponseLocation): void {
    this.#createTable();
    this.#sql(
      `INSERT INTO ids (id, place, call) VALUES (?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET place = '', call = '' WHERE place <> excluded.place OR call <> excluded.call`,
      id,
      place,
      call,
    );
  }

  #createTable(): void {
    if (!this.#hasTable)
      this.#sql("CREATE TABLE ids (id TEXT PRIMARY KEY, place TEXT NOT NULL, call TEXT NOT NULL) WITHOUT ROWID");
    this.#hasTable = true;
  }

  /** undefined: no response with that id was stored, or the id is ambiguous. */
  find(id: string): ResponseLocation | undefined {
    if (!this.#hasTable) return undefined;
    return this.#sql<ResponseLocation>("SELECT place, call FROM ids WHERE id = ? AND place <> ''", id)[0];
  }

  remove(id: string): void {
    if (this.#hasTable) this.#sql("DELETE FROM ids WHERE id = ?", id);
  }
}
