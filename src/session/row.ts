import type { Dialect } from "../canonical/types.ts";
import type { SessionRecord } from "../store/sessions.ts";
import type { JsonObject } from "../wire/json.ts";
import type { Sql } from "../store/sql.ts";
import { loadText, storeText } from "./schema.ts";

/** The system text of a session, in the wire it was given in: a member of its own, or the list's leading items. */
export type Instructions = { dialect: Dialect; member?: { key: string; json: string }; items?: string };

/** Where a session came from. `turn`: null when it branched off before the first. */
type Origin = { session: string; turn: string | null };

/** What is known of a session as a whole. */
export type SessionRow = {
  id: string;
  org: string;
  /** The turn where the next call continues, and how many turns the model sees up to there. */
  head: string | null;
  depth: number;
  instructions?: Instructions;
  status: "active" | "paused";
  phase: string | null;
  metadata: Record<string, string>;
  /** What a call of this session says when it does not say it itself: members of a native request. */
  defaults: JsonObject;
  origin?: Origin;
  /** Counts every change, so that of two records of this session the later one is known. */
  revision: number;
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
  created_at: number;
  updated_at: number;
};

/** A text of any length may stand for instructions, so they may go on in another table. */
const INSTRUCTIONS_OWNER = "session/instructions";

export function readRow(sql: Sql): SessionRow | undefined {
  const [row] = sql<Row>("SELECT * FROM session");
  if (row === undefined) return undefined;
  const { instructions, origin, metadata, defaults, created_at: createdAt, updated_at: updatedAt, ...same } = row;
  return {
    ...same,
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

/** The row instead of `old`, of which it is a change; only what differs is written where that may be large. */
export function writeRow(sql: Sql, row: SessionRow, old?: SessionRow): void {
  sql(
    `INSERT INTO session (id, org, head, depth, status, phase, metadata, defaults, origin, revision, created_at, updated_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
     ON CONFLICT (id) DO UPDATE SET head = ?3, depth = ?4, status = ?5, phase = ?6, metadata = ?7, defaults = ?8,
                                    origin = ?9, revision = ?10, updated_at = ?12`,
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
  );
  if (row.instructions === old?.instructions) return;
  const text =
    row.instructions === undefined ? null : storeText(sql, INSTRUCTIONS_OWNER, JSON.stringify(row.instructions));
  sql("UPDATE session SET instructions = ?", text);
}

/** The same system text, so that a client that says it with every call has it written once. */
export const sameInstructions = (a: Instructions | undefined, b: Instructions | undefined): boolean =>
  a?.dialect === b?.dialect &&
  a?.items === b?.items &&
  a?.member?.key === b?.member?.key &&
  a?.member?.json === b?.member?.json;

/** What lists of sessions show of it. */
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
