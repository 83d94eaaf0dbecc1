import type { Sql } from "../store/sql.ts";
import type { Turn } from "./turns.ts";

/**
 * The ids of a copied turn's items as its client knows them, those of its input first. Ids are otherwise derived from the turn and the item's
 * place in it, and a copy has another id and may lack an item.
 */
export function storeItemIds(sql: Sql, turn: string, ids: readonly string[]): void {
  sql("INSERT INTO item_ids (turn, ids) VALUES (?, ?)", turn, JSON.stringify(ids));
}

/** The stored ids of a turn's items; none for a turn whose ids are derived. */
export function findItemIds(sql: Sql, { id, origin }: Pick<Turn, "id" | "origin">): readonly string[] {
  if (origin === undefined) return [];
  const [row] = sql<{ ids: string }>("SELECT ids FROM item_ids WHERE turn = ?", id);
  return row === undefined ? [] : (JSON.parse(row.ids) as string[]);
}
