import type { TurnHashes } from "../canonical/turn-hash.ts";
import type { Dialect, Message, ToolCall } from "../canonical/types.ts";
import { newId } from "../wire/id.ts";
import { isObject } from "../wire/json.ts";
import type { Sql } from "../store/sql.ts";
import { loadText, storeText } from "./schema.ts";

/** Wire items of one side of a turn: JSON texts joined by commas, in the very characters in which they were said. */
export type WireItems = {
  dialect: Dialect;
  items: string;
  /** Who said it and alone can open its seals; absent for what a client said. */
  issuer?: string;
  /** It holds something sealed. */
  sealed?: boolean;
  /** The large strings that were taken out of `items`: it is no JSON before they are back (media.ts). */
  cuts?: readonly BlobRef[];
};

/** A string of a JSON text that is kept elsewhere: where it stood in what is left, and the hash it is kept under. */
export type BlobRef = { at: number; blob: string };

/** A tool call that waits for its result. `item`: its wire item's own id, by which some clients answer it. */
export type PendingToolCall = { id: string; name: string; item?: string };

/**
 * One committed step. Immutable. Its names: canonical/chain.ts.
 *
 * `call`: a call made it. `items`: its client put it there, and no model had a part in it. `copy`: it stands for
 * another turn, `origin`, of this session or of the one it branched from.
 * `compaction`: the way from the root begins anew with it; it stands for all turns before it, and for their place.
 */
export type Turn = TurnHashes & {
  id: string;
  parent: string | undefined;
  kind: "call" | "copy" | "compaction" | "items";
  origin?: string;
  /** How many turns the model sees up to here, this one included; a compaction is none. */
  depth: number;
  /** What its reply asks for and nobody has answered yet. */
  open: readonly PendingToolCall[];
  input: WireItems;
  output: WireItems & { issuer: string };
  createdAt: number;
};

export const listPendingCalls = (reply: readonly Message[]): PendingToolCall[] =>
  reply.flatMap(({ blocks }) => blocks.flatMap((block) => (block.kind === "tool_call" ? [toPendingCall(block)] : [])));

function toPendingCall({ id, name, native }: ToolCall): PendingToolCall {
  const item = isObject(native?.item) ? native.item.id : undefined;
  return { id, name, ...(typeof item === "string" && item !== id && { item }) };
}

/** Turns as they will stand behind `parent`, in the session whose object is at `place`. */
export function linkTurns(
  turns: readonly Omit<Turn, "id" | "parent" | "depth" | "createdAt">[],
  { parent, objectId, now }: { parent: Turn | undefined; objectId: string; now: number },
): Turn[] {
  const linked: Turn[] = [];
  for (const turn of turns) {
    const previous = linked.at(-1) ?? parent;
    const depth = turn.kind === "compaction" ? 0 : (previous?.depth ?? 0) + 1;
    linked.push({ ...turn, id: newId("turn", now, objectId), parent: previous?.id, depth, createdAt: now });
  }
  return linked;
}

type TurnRow = {
  id: string;
  parent: string | null;
  kind: Turn["kind"];
  origin: string | null;
  depth: number;
  chain: string;
  own: string;
  reply: string;
  open: string;
  input_dialect: Dialect;
  input: string;
  input_cuts: string;
  output_dialect: Dialect;
  output: string;
  output_cuts: string;
  issuer: string;
  sealed: number;
  created_at: number;
};

export function insertTurn(sql: Sql, turn: Turn): void {
  const { id, input, output } = turn;
  sql(
    `INSERT INTO turns (id, parent, kind, origin, depth, chain, own, reply, open, input_dialect, input, input_cuts,
                        output_dialect, output, output_cuts, issuer, sealed, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    id,
    turn.parent ?? null,
    turn.kind,
    turn.origin ?? null,
    turn.depth,
    turn.chain,
    turn.own,
    turn.reply,
    JSON.stringify(turn.open),
    input.dialect,
    storeText(sql, `${id}/input`, input.items),
    JSON.stringify(input.cuts ?? []),
    output.dialect,
    storeText(sql, `${id}/output`, output.items),
    JSON.stringify(output.cuts ?? []),
    output.issuer,
    output.sealed ? 1 : 0,
    turn.createdAt,
  );
}

export function findTurn(sql: Sql, id: string): Turn | undefined {
  return sql<TurnRow>("SELECT * FROM turns WHERE id = ?", id).map((row) => toTurn(sql, row))[0];
}

export const hasTurn = (sql: Sql, id: string): boolean => sql("SELECT 1 FROM turns WHERE id = ?", id).length > 0;

/** Whether anything was ever said. */
export const hasAnyTurn = (sql: Sql): boolean => sql("SELECT 1 FROM turns LIMIT 1").length > 0;

/** The turn that ends at this place; the newest, where the same was said twice. */
export const findTurnByHash = (sql: Sql, chain: string): string | undefined =>
  sql<{ id: string }>("SELECT id FROM turns WHERE chain = ? ORDER BY id DESC LIMIT 1", chain)[0]?.id;

/** From the root, or the last compaction, to this turn. */
export function readPath(sql: Sql, id: string): Turn[] {
  const rows = sql<TurnRow>(
    `WITH RECURSIVE path AS (
       SELECT * FROM turns WHERE id = ?
       UNION ALL SELECT turns.* FROM turns JOIN path ON turns.id = path.parent WHERE path.kind <> 'compaction'
     ) SELECT * FROM path ORDER BY depth`,
    id,
  );
  return rows.map((row) => toTurn(sql, row));
}

/** What a tree is drawn from, without what was said. In the order in which they were made. */
type TurnNode = Pick<Turn, "id" | "parent" | "kind" | "origin" | "createdAt">;

export const listTurnNodes = (sql: Sql): TurnNode[] =>
  sql<Pick<TurnRow, "id" | "parent" | "kind" | "origin" | "created_at">>(
    "SELECT id, parent, kind, origin, created_at FROM turns ORDER BY id",
  ).map(({ id, parent, kind, origin, created_at: createdAt }) => ({
    id,
    parent: parent ?? undefined,
    kind,
    ...(origin !== null && { origin }),
    createdAt,
  }));

function toTurn(sql: Sql, row: TurnRow): Turn {
  return {
    id: row.id,
    parent: row.parent ?? undefined,
    kind: row.kind,
    ...(row.origin !== null && { origin: row.origin }),
    depth: row.depth,
    chain: row.chain,
    own: row.own,
    reply: row.reply,
    open: row.open === "[]" ? NO_CALLS : (JSON.parse(row.open) as PendingToolCall[]),
    input: {
      dialect: row.input_dialect,
      items: loadText(sql, `${row.id}/input`, row.input),
      ...parseCuts(row.input_cuts),
    },
    output: {
      dialect: row.output_dialect,
      items: loadText(sql, `${row.id}/output`, row.output),
      issuer: row.issuer,
      sealed: row.sealed === 1,
      ...parseCuts(row.output_cuts),
    },
    createdAt: row.created_at,
  };
}

const NO_CALLS: readonly PendingToolCall[] = [];

const parseCuts = (text: string): Pick<WireItems, "cuts"> =>
  text === "[]" ? {} : { cuts: JSON.parse(text) as BlobRef[] };
