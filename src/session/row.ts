import type { Dialect } from "../canonical/types.ts";
import type { SessionRecord } from "../store/sessions.ts";
import type { Sql } from "../store/sql.ts";
import type { JsonObject } from "../wire/json.ts";
import { loadText, storeText } from "./overflow.ts";

/** The system text of a session, in the dialect of the request that set it: a body member, or leading items of the list. */
export type Instructions = { dialect: Dialect; member?: { key: string; json: string }; items?: string };

/** The session and turn that a session was branched from. `turn`: null if it branched before the first turn. */
type Origin = { session: string; turn: string | null };

/** A session without its turns and calls. Times are Unix milliseconds. */
export type SessionRow = {
  id: string;
  org: string;
  /** The turn that the next call continues, and how many turns the model sees up to it. */
  head: string | null;
  depth: number;
  instructions?: Instructions;
  status: "active" | "paused";
  phase: string | null;
  metadata: Record<string, string>;
  /** Members of a native request that apply to calls which do not set them. */
  defaults: JsonObject;
  origin?: Origin;
  /** Goes up with every change. The consumer of records keeps the highest: a queue may deliver them out of order. */
  revision: number;
  /** The revision that the last record has. */
  recorded: number;
  createdAt: number;
  updatedAt: number;
};

type Row = {
  id: string;
  org: string;
  head: string | null;
  depth: number;
  instructions: string | null;
  status: SessionRow["status"];
  phase: string | null;
  metadata: string;
  defaults: string;
  origin: string | null;
  revision: number;
  /** Null: an earlier version has recorded every revision. */
  recorded: number | null;
  created_at: number;
  updated_at: number;
};

/** Owner of the instructions' rest in `overflow`: instructions have no maximum length, a row has one. */
const INSTRUCTIONS_OWNER = "session/instructions";

/** undefined: the session was never created, or was deleted. */
export function readRow(sql: Sql): SessionRow | undefined {
  const [row] = sql<Row>("SELECT * FROM session");
  if (row === undefined) return undefined;
  const { instructions, origin, metadata, defaults, created_at: createdAt, updated_at: updatedAt, ...same } = row;
  return {
    ...same,
    recorded: row.recorded ?? row.revision,
    ...(instructions !== null && {
      instructions: JSON.parse(loadText(sql, INSTRUCTIONS_OWNER, instructions)) as Instructions,
    }),
    ...(origin !== null && { origin: JSON.parse(origin) as Origin }),
    metadata: JSON.parse(metadata) as Record<string, string>,
    defaults: JSON.parse(defaults) as JsonObject,
    createdAt,
    updatedAt,
  };
}

/** Replaces the row `old`. Instructions, which may be large, are written only if they differ. */
export function writeRow(sql: Sql, row: SessionRow, old?: SessionRow): void {
  sql(
    `INSERT INTO session (id, org, head, depth, status, phase, metadata, defaults, origin, revision, created_at, updated_at,
                          recorded)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
     ON CONFLICT (id) DO UPDATE SET head = ?3, depth = ?4, status = ?5, phase = ?6, metadata = ?7, defaults = ?8,
                                    origin = ?9, revision = ?10, updated_at = ?12, recorded = ?13`,
    row.id,
    row.org,
    row.head,
    row.depth,
    row.status,
    row.phase,
    JSON.stringify(row.metadata),
    JSON.stringify(row.defaults),
    row.origin === undefined ? null : JSON.stringify(row.origin),
    row.revision,
    row.createdAt,
    row.updatedAt,
    row.recorded,
  );
  if (row.instructions === old?.instructions) return;
  const text =
    row.instructions === undefined ? null : storeText(sql, INSTRUCTIONS_OWNER, JSON.stringify(row.instructions));
  sql("UPDATE session SET instructions = ?", text);
}

/**
 * What a turn with these instructions changes in its session's row: nothing if it has none, or the same text. A client
 * that repeats its instructions with each call causes no write.
 */
export function changeInstructions(
  next: Instructions | undefined,
  current: Instructions | undefined,
): Pick<SessionRow, "instructions"> {
  return next === undefined || (current !== undefined && isSameText(next, current)) ? {} : { instructions: next };
}

const isSameText = (a: Instructions, b: Instructions): boolean =>
  a.dialect === b.dialect &&
  a.items === b.items &&
  a.member?.key === b.member?.key &&
  a.member?.json === b.member?.json;

/**
 * The session's instructions that apply to a call; undefined if the call's own replace them. A call that continues a
 * response inherits only instructions that were items of the input, since those are part of the conversation
 * (OpenAI API reference, Responses: `instructions`).
 */
export function resolveInstructions(
  { instructions: requested, isChained }: { instructions?: Instructions; isChained?: true },
  current: Instructions | undefined,
): Instructions | undefined {
  if (isChained !== true) return requested === undefined ? current : undefined;
  return current?.items === undefined || requested?.items !== undefined
    ? undefined
    : { dialect: current.dialect, items: current.items };
}

/** The session's entry in lists of sessions. A deleted session keeps its id and loses its metadata. */
export const toSessionRecord = (row: SessionRow, isDeleted: boolean): SessionRecord => ({
  object: "session",
  id: row.id,
  org: row.org,
  status: isDeleted ? "deleted" : row.status,
  ...(row.phase !== null && { phase: row.phase }),
  ...(row.head !== null && { head: row.head }),
  turns: row.depth,
  metadata: isDeleted ? {} : row.metadata,
  ...(row.origin !== undefined && { origin: row.origin }),
  revision: row.revision,
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
});
