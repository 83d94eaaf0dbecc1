import { textOfBlocks } from "../../canonical/text.ts";
import { pairResults } from "../../canonical/tool-results.ts";
import type { Message } from "../../canonical/types.ts";
import { anthropic } from "../../dialects/anthropic/index.ts";
import type { WireDialect } from "../../dialects/dialect.ts";
import { gemini } from "../../dialects/gemini/index.ts";
import { native } from "../../dialects/native/index.ts";
import { openaiChat } from "../../dialects/openai-chat/index.ts";
import type { Blobs } from "../../store/blobs.ts";
import type { Sql } from "../../store/sql.ts";
import type { Json, JsonObject } from "../../wire/json.ts";
import { listEvents } from "../events.ts";
import { inline } from "../large-strings.ts";
import type { Session } from "../session.ts";
import type { Snapshot } from "../snapshots.ts";
import { listTurnNodes, type WireItems } from "../turns.ts";
import { decodeInstructions, decodeItems } from "./decode.ts";

/** The formats in which the history up to the head can be read: native blocks, or the message list of a provider's API. */
export const BLOCK_FORMATS = ["native", "openai", "anthropic", "gemini"] as const;
export type BlockFormat = (typeof BLOCK_FORMATS)[number];

const DIALECT: Record<BlockFormat, WireDialect> = { native, openai: openaiChat, anthropic, gemini };

/** The session object of the API. Times are RFC 3339. */
export function toApiSession({ row }: Session): JsonObject {
  return {
    id: row.id,
    object: "session",
    status: row.status,
    phase: row.phase,
    head: row.head,
    turns: row.depth,
    instructions: row.instructions === undefined ? null : systemText(decodeInstructions(row.instructions)),
    metadata: row.metadata,
    defaults: row.defaults,
    branched_from: row.origin === undefined ? null : { session_id: row.origin.session, turn_id: row.origin.turn },
    created_at: toApiTime(row.createdAt),
    updated_at: toApiTime(row.updatedAt),
  };
}

/**
 * The history up to the head, which precedes the next call, as a list in one format. Anthropic and Gemini have the system
 * text in a body member of its own, which is returned next to the list.
 */
export async function toApiHead(session: Session, format: BlockFormat, blobs: Blobs): Promise<JsonObject> {
  const dialect = DIALECT[format];
  const history = await Promise.all(
    session.path.flatMap(({ input, output }) => [input, output]).map((one) => readMessages(one, blobs)),
  );
  const system = decodeInstructions(session.instructions);
  const hasSystemMember = dialect.layout.instructions !== undefined && format !== "native";
  const listed = hasSystemMember ? history.flat() : [...system, ...history.flat()];
  const { value: data } = dialect.encodeMessages(pairResults(listed), { dialect: dialect.id, model: "" });
  return { object: "list", ...(hasSystemMember && encodeSystemMember(system, dialect)), data };
}

/** The body member for the system text in this dialect; no member if there is no text. */
function encodeSystemMember(system: readonly Message[], dialect: WireDialect): JsonObject {
  const request = { model: "", stream: false, messages: [...system] };
  const { value } = dialect.encodeRequest(request, { dialect: dialect.id, model: "" });
  return Object.fromEntries(Object.entries(value).filter(([member]) => dialect.layout.instructions?.includes(member)));
}

/** The lineage object of the API: the session's origin, all its turns and which of them are on the path to the head, its branches and compactions. */
export function toApiLineage(session: Session, sql: Sql): JsonObject {
  const { id, head, origin } = session.row;
  const inHead = new Set(session.path.map((turn) => turn.id));
  const events = listEvents(sql);
  const listData = (type: string): JsonObject[] =>
    events
      .filter((event) => event.type === type)
      .map(({ data, createdAt }) => ({ ...data, created_at: toApiTime(createdAt) }));
  return {
    object: "lineage",
    session_id: id,
    head,
    branched_from: origin === undefined ? null : { session_id: origin.session, turn_id: origin.turn },
    branches: listData("branched"),
    compactions: listData("compacted"),
    turns: listTurnNodes(sql).map((turn) => ({
      id: turn.id,
      parent_id: turn.parent ?? null,
      kind: turn.kind,
      ...(turn.origin !== undefined && { copy_of: turn.origin }),
      in_head: inHead.has(turn.id),
      created_at: toApiTime(turn.createdAt),
    })),
  };
}

export const toApiSnapshot = ({ name, turn, createdAt }: Snapshot): JsonObject => ({
  object: "snapshot",
  name,
  turn_id: turn,
  created_at: toApiTime(createdAt),
});

/** Wire items as native blocks, with large strings read from `blobs`. */
export const toApiBlocks = async (wireItems: WireItems, blobs: Blobs): Promise<Json[]> =>
  nativeBlocks(await readMessages(wireItems, blobs));

const nativeBlocks = (messages: readonly Message[]): Json[] =>
  native.encodeMessages(messages, { dialect: native.id, model: "" }).value;

/** Unix milliseconds as RFC 3339 text. */
export const toApiTime = (at: number): string => new Date(at).toISOString();

const readMessages = async (wireItems: WireItems, blobs: Blobs): Promise<readonly Message[]> =>
  decodeItems(await inline(wireItems, blobs));

/** The text blocks of the system messages, with blank lines between. */
const systemText = (messages: readonly Message[]): string =>
  textOfBlocks(
    messages.flatMap(({ blocks }) => blocks),
    "\n\n",
  );
