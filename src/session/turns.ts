import type { Dialect } from "../canonical/types.ts";
import { joinOn, splitOff, type Sql } from "./sql.ts";

/** Wire items of one side of a turn: JSON texts joined by commas, in the very characters in which they were said. */
export type Passage = {
  dialect: Dialect;
  items: string;
  /** Who said it and alone can open its seals; absent for what a client said. */
  issuer?: string;
  /** It holds something sealed. */
  sealed?: boolean;
};

/** One committed step. Immutable. `chain` names the place it ends at (canonical/chain.ts). */
export type Turn = {
  id: string;
  parent: string | undefined;
  /** How many turns lie on the way from the root, this one included. */
  depth: number;
  chain: string;
  input: Passage;
  output: Passage & { issuer: string };
  createdAt: number;
};

type Row = {
  id: string;
  parent: string | null;
  depth: number;
  chain: string;
  input_dialect: Dialect;
  input: string;
  output_dialect: Dialect;
  output: string;
  issuer: string;
  sealed: number;
  created_at: number;
};

export function insertTurn(sql: Sql, { id, parent, depth, chain, input, output, createdAt }: Turn): void {
  sql(
    `INSERT INTO turns (id, parent, depth, chain, input_dialect, input, output_dialect, output, issuer, sealed, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    id,
    parent ?? null,
    depth,
    chain,
    input.dialect,
    splitOff(sql, `${id}/input`, input.items),
    output.dialect,
    splitOff(sql, `${id}/output`, output.items),
    output.issuer,
    output.sealed ? 1 : 0,
    createdAt,
  );
}

export function findTurn(sql: Sql, id: string): Turn | undefined {
  return sql<Row>("SELECT * FROM turns WHERE id = ?", id).map((row) => turnOf(sql, row))[0];
}

/** The turn that ends at this place; the newest, where the same was said twice. */
export const turnNamed = (sql: Sql, chain: string): string | undefined =>
  sql<{ id: string }>("SELECT id FROM turns WHERE chain = ? ORDER BY id DESC LIMIT 1", chain)[0]?.id;

/** From the root to this turn. */
export function pathTo(sql: Sql, id: string): Turn[] {
  const rows = sql<Row>(
    `WITH RECURSIVE path AS (
       SELECT * FROM turns WHERE id = ?
       UNION ALL SELECT turns.* FROM turns JOIN path ON turns.id = path.parent
     ) SELECT * FROM path ORDER BY depth`,
    id,
  );
  return rows.map((row) => turnOf(sql, row));
}

function turnOf(sql: Sql, row: Row): Turn {
  return {
    id: row.id,
    parent: row.parent ?? undefined,
    depth: row.depth,
    chain: row.chain,
    input: { dialect: row.input_dialect, items: joinOn(sql, `${row.id}/input`, row.input) },
    output: {
      dialect: row.output_dialect,
      items: joinOn(sql, `${row.id}/output`, row.output),
      issuer: row.issuer,
      sealed: row.sealed === 1,
    },
    createdAt: row.created_at,
  };
}
