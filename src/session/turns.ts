import type { CalledTool } from "../canonical/tool-names.ts";
import type { TurnHashes } from "../canonical/turn-hash.ts";
import type { Block, Dialect, Message, ToolCall } from "../canonical/types.ts";
import type { Sql } from "../store/sql.ts";
import { newId } from "../wire/id.ts";
import { isObject } from "../wire/json.ts";
import { loadText, storeText } from "./overflow.ts";

/** Wire items of one side of a turn: JSON texts joined by commas, byte for byte as they were sent or received. */
export type WireItems = {
  dialect: Dialect;
  items: string;
  /** The issuer (`provider` or `provider/model`) that produced the items and can read their sealed parts; absent for a client's input. */
  issuer?: string;
  /** At least one item has a part that only its issuer can read, such as a signature or encrypted reasoning. */
  sealed?: boolean;
  /**
   * All tool calls in the items, in order, with the ids and names that the client knows: wire items have the names that
   * the provider knows, and Gemini's have no ids. Absent: as in the items.
   */
  calls?: readonly PendingToolCall[];
  /** The large strings that were moved out of `items`; until `inline` (large-strings.ts) puts them back, `items` is not valid JSON. */
  cuts?: readonly BlobRef[];
};

/** A string literal that was moved out of a JSON text. `at`: its offset in the remaining text, in UTF-16 units. `blob`: the hash it is stored under. */
export type BlobRef = { at: number; blob: string };

/**
 * A tool call that waits for its result. `item`: the id of its wire item, which some clients put in the result instead of the call's id.
 * `isHidden`: the gateway executes it for a call whose client does not see it, beside calls that this client executes; all calls of a
 * `step` are such.
 */
export type PendingToolCall = CalledTool & { id: string; item?: string; isHidden?: true };

/**
 * One committed step of a session. Immutable. Its hashes: canonical/turn-hash.ts.
 *
 * `call`: made by a call. `step`: made by a call of a run whose client sees one answer, which its last turn, a `call`,
 * stands for. `items`: added by the client without a model. `copy`: replaces another turn, `origin`, of this
 * session or of the one it branched from; the copy of a `step` is one as well.
 * `compaction`: replaces all turns before it, and has the hash of the last of them; a path starts with it.
 */
export type Turn = TurnHashes & {
  id: string;
  parent: string | undefined;
  kind: "call" | "step" | "copy" | "compaction" | "items";
  origin?: string;
  /** How many turns the model sees up to this one, which is included; a compaction counts as none. */
  depth: number;
  /** The tool calls of its reply. */
  open: readonly PendingToolCall[];
  input: WireItems;
  output: WireItems & { issuer: string };
  createdAt: number;
};

/** The tool calls of a reply, which the next turn has to answer. */
export const listPendingCalls = (
  reply: readonly Message[],
  isHidden: (call: ToolCall) => boolean = () => false,
): PendingToolCall[] =>
  reply.flatMap(({ blocks }) =>
    blocks.flatMap((block) =>
      block.kind === "tool_call" ? [{ ...toPendingCall(block), ...(isHidden(block) && { isHidden: true }) }] : [],
    ),
  );

function toPendingCall({ id, name, namespace, custom, native }: ToolCall): PendingToolCall {
  const item = isObject(native?.item) ? native.item.id : undefined;
  return {
    id,
    name,
    ...(namespace !== undefined && { namespace }),
    ...(custom && { custom }),
    ...(typeof item === "string" && item !== id && { item }),
  };
}

/** A turn that is not yet part of a session; see `linkTurns`. */
export type UnlinkedTurn = Omit<Turn, "id" | "parent" | "depth" | "createdAt">;

/** Gives new turns their ids, parents and depths, as a chain that continues `parent`. `objectId`: of the session's object; it is part of the ids. */
export function linkTurns(
  turns: readonly UnlinkedTurn[],
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

/** Stores a turn. Texts that are too long for a row continue in `overflow`. */
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

/** Whether the session has a turn at all; false lets a first call skip hashing its messages. */
export const hasAnyTurn = (sql: Sql): boolean => sql("SELECT 1 FROM turns LIMIT 1").length > 0;

/** Whether two turns have the same hash, so that a transcript alone does not tell which of them it continues. */
export const hasTwins = (sql: Sql): boolean =>
  sql("SELECT 1 FROM turns GROUP BY chain HAVING count(*) > 1 LIMIT 1").length > 0;

/** What decides which of several turns a transcript continues. */
export type TurnCalls = Pick<Turn, "id" | "parent" | "kind" | "open">;

/** The turns that a call can continue, newest first. */
export type TurnIndex = {
  /** Those whose transcript has this hash: equal questions can have different replies. */
  listByHash: (chain: string) => readonly TurnCalls[];
  /** Those whose reply has tool calls. */
  listWithCalls: () => readonly TurnCalls[];
};

/** The turns of the session. Nothing is read before it is needed. */
export const readTurnIndex = (sql: Sql): TurnIndex => ({
  listByHash: (chain) =>
    sql<CallsRow>("SELECT id, parent, kind, open FROM turns WHERE chain = ? ORDER BY id DESC", chain).map(toTurnCalls),
  listWithCalls: () =>
    sql<CallsRow>("SELECT id, parent, kind, open FROM turns WHERE open <> '[]' ORDER BY id DESC").map(toTurnCalls),
});

type CallsRow = Pick<TurnRow, "id" | "parent" | "kind" | "open">;

const toTurnCalls = ({ id, parent, kind, open }: CallsRow): TurnCalls => ({
  id,
  kind,
  parent: parent ?? undefined,
  open: parseCalls(open),
});

/** The turns from the root, or from the last compaction, to this turn, which is included. */
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

/**
 * The index of the turn whose input is the request that the turn at `at` of a path answers: the first step of the run that
 * it ends, or the turn itself.
 */
export function findFirstStep(path: readonly Turn[], at = path.length - 1): number {
  let first = at;
  while (path[first - 1]?.kind === "step") first--;
  return first;
}

/** The id of the turn with which the run of a step has ended; that of the step itself if it has not. */
export function findLastStep(sql: Sql, id: string): string {
  const rows = sql<{ id: string }>(
    `WITH RECURSIVE later AS (
       SELECT id, kind, depth FROM turns WHERE id = ?
       UNION ALL SELECT turns.id, turns.kind, turns.depth FROM turns JOIN later ON turns.parent = later.id WHERE later.kind = 'step'
     ) SELECT id FROM later WHERE kind <> 'step' ORDER BY depth LIMIT 1`,
    id,
  );
  return rows[0]?.id ?? id;
}

/** The turns of the answer that a turn ends: the steps of its run, if a run has given it, and itself. */
export function readAnswer(sql: Sql, turn: Turn): Turn[] {
  const parent = turn.parent === undefined ? undefined : findTurn(sql, turn.parent);
  return parent?.kind === "step" ? [...readAnswer(sql, parent), turn] : [turn];
}

/** Turns that follow one another, by the requests that they answer: each list ends with the one turn that is no step. */
export function splitAnswers(turns: readonly Turn[]): Turn[][] {
  const answers: Turn[][] = [];
  turns.forEach((turn, i) => {
    if (turns[i - 1]?.kind === "step") answers.at(-1)!.push(turn);
    else answers.push([turn]);
  });
  return answers;
}

/** Whether a turn's reply has calls that the gateway executes for the client's call. */
export const hidesCalls = ({ kind, open }: Pick<Turn, "kind" | "open">): boolean =>
  kind === "step" || open.some(({ isHidden }) => isHidden === true);

/** Whether a block of a turn's reply is a call that the gateway executes for the client's call, and the client does not see. */
export const isHiddenCall = ({ kind, open }: Pick<Turn, "kind" | "open">, block: Block): boolean =>
  block.kind === "tool_call" &&
  (kind === "step" || open.some(({ id, isHidden }) => isHidden === true && id === block.id));

/** A turn without its content: enough to draw the tree. */
type TurnNode = Pick<Turn, "id" | "parent" | "kind" | "origin" | "createdAt">;

/** All turns in the order in which they were created: ids sort by time. */
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
  const open = parseCalls(row.open);
  return {
    id: row.id,
    parent: row.parent ?? undefined,
    kind: row.kind,
    ...(row.origin !== null && { origin: row.origin }),
    depth: row.depth,
    chain: row.chain,
    own: row.own,
    reply: row.reply,
    open,
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
      ...(open !== NO_CALLS && { calls: open }),
      ...parseCuts(row.output_cuts),
    },
    createdAt: row.created_at,
  };
}

/** Shared by all turns without pending calls, so that reading a path allocates no list for each. */
const NO_CALLS: readonly PendingToolCall[] = [];

const parseCalls = (open: string): readonly PendingToolCall[] =>
  open === "[]" ? NO_CALLS : (JSON.parse(open) as PendingToolCall[]);

const parseCuts = (text: string): Pick<WireItems, "cuts"> =>
  text === "[]" ? {} : { cuts: JSON.parse(text) as BlobRef[] };
