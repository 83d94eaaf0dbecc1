import { invalid } from "../canonical/error.ts";
import type { Sql } from "../store/sql.ts";

/** A name for a turn of a session. `turn`: null for the root, before the first turn. `createdAt`: Unix milliseconds. */
export type Snapshot = { name: string; turn: string | null; createdAt: number };

type Row = { name: string; turn: string | null; created_at: number };

/** Throws `request.invalid` if the name is taken: a snapshot never changes its turn. */
export function takeSnapshot(sql: Sql, { name, turn, createdAt }: Snapshot): void {
  if (findSnapshot(sql, name) !== undefined) throw invalid("name", "expected a name that no other snapshot has");
  sql("INSERT INTO snapshots (name, turn, created_at) VALUES (?, ?, ?)", name, turn, createdAt);
}

export const findSnapshot = (sql: Sql, name: string): Snapshot | undefined =>
  sql<Row>("SELECT * FROM snapshots WHERE name = ?", name).map(toSnapshot)[0];

/** Oldest first. */
export const listSnapshots = (sql: Sql): Snapshot[] =>
  sql<Row>("SELECT * FROM snapshots ORDER BY created_at, name").map(toSnapshot);

const toSnapshot = ({ name, turn, created_at: createdAt }: Row): Snapshot => ({ name, turn, createdAt });
