import type { Blobs } from "../../store/blobs.ts";
import type { CallRecord } from "../../store/records.ts";
import type { Sql } from "../../store/sql.ts";
import { toByteStream } from "../../wire/bytes.ts";
import { withPrefix } from "../../wire/id.ts";
import { type Json, type JsonObject, parseJson, withoutUndefined } from "../../wire/json.ts";
import { findCallState, listCallIds } from "../calls.ts";
import { listEvents, type SessionEvent } from "../events.ts";
import { findLastStep, findTurn, listTurnNodes } from "../turns.ts";
import { toApiBlocks, toApiTime } from "./views.ts";

/** An entry of the timeline, as the API returns it: a turn, a call that made no turn, or an event. Times are RFC 3339. */
type TimelineEntry = {
  id: string;
  type: "turn" | "call" | SessionEvent["type"];
  call_id?: string;
  turn_id?: string;
  parent_id?: string;
  copy_of?: string;
  status?: CallRecord["status"] | "running";
  model?: string;
  provider?: string;
  agent?: string;
  created_at: string;
  input?: Json[];
  output?: Json[];
  error?: { code: string; message: string };
  data?: JsonObject;
};

/** An entry that is not read yet. `at`: Unix milliseconds. Its content is read only when it is written to the answer. */
type EntrySource = { id: string; at: number; read: () => Promise<TimelineEntry> };

/**
 * The timeline in order of time, as a JSON list; streamed, since it may be larger than memory.
 * `after`: the id of the entry before the first one to return.
 */
export function buildTimeline(
  sql: Sql,
  blobs: Blobs,
  { after, limit }: { after?: string | undefined; limit?: number | undefined },
): Response {
  const all = listEntrySources(sql, blobs);
  const from = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
  const page = all.slice(from, limit === undefined ? undefined : from + limit);
  const hasMore = from + page.length < all.length;
  const text = (async function* (): AsyncGenerator<string> {
    yield '{"object":"list","data":[';
    for (const [i, { read }] of page.entries()) yield `${i > 0 ? "," : ""}${JSON.stringify(await read())}`;
    yield `],"has_more":${hasMore}}`;
  })();
  return new Response(toByteStream(text), { headers: { "content-type": "application/json" } });
}

/** All entries in order of time. Turns of calls come with their calls. */
function listEntrySources(sql: Sql, blobs: Blobs): EntrySource[] {
  const calls = listCallIds(sql).map(({ id, createdAt }) => ({
    id,
    at: createdAt,
    read: () => buildCallEntry(sql, id, blobs),
  }));
  const turns = listTurnNodes(sql)
    .filter(({ kind }) => kind !== "call")
    .map(({ id, createdAt }) => ({ id, at: createdAt, read: () => buildTurnEntry(sql, id, blobs) }));
  const events = listEvents(sql).map((event) => ({
    id: event.id,
    at: event.createdAt,
    read: async () => toEventEntry(event),
  }));
  return [...calls, ...turns, ...events].toSorted((a, b) => a.at - b.at);
}

/** Entry of a call; it is a `turn` if the call made one that still exists. */
async function buildCallEntry(sql: Sql, id: string, blobs: Blobs): Promise<TimelineEntry> {
  const { status, started, record, received } = findCallState(sql, id)!;
  const turn = status === "completed" ? findTurn(sql, withPrefix(id, "turn")) : undefined;
  const partial = received === undefined ? undefined : parseJson(received);
  return {
    id,
    type: turn === undefined ? "call" : "turn",
    call_id: id,
    ...(turn !== undefined && { turn_id: turn.id }),
    ...(turn?.parent !== undefined && { parent_id: turn.parent }),
    status,
    ...withoutUndefined({ model: record?.model, provider: record?.provider, agent: started.conversation?.agent }),
    created_at: toApiTime(started.createdAt),
    ...(turn !== undefined && {
      input: await toApiBlocks(turn.input, blobs),
      output: await toApiBlocks(turn.output, blobs),
    }),
    ...(Array.isArray(partial) && { output: partial }),
    ...(record?.error !== undefined && { error: { code: record.error.code, message: record.error.message } }),
  };
}

/** Entry of a turn that no call of this session made. */
async function buildTurnEntry(sql: Sql, id: string, blobs: Blobs): Promise<TimelineEntry> {
  const { kind, parent, origin, createdAt, input, output } = findTurn(sql, id)!;
  const answered = kind === "step" ? findCallState(sql, withPrefix(findLastStep(sql, id), "call")) : undefined;
  return {
    id,
    type: "turn",
    turn_id: id,
    ...(parent !== undefined && { parent_id: parent }),
    ...(origin !== undefined && { copy_of: origin }),
    ...withoutUndefined({ agent: answered?.started.conversation?.agent }),
    created_at: toApiTime(createdAt),
    input: await toApiBlocks(input, blobs),
    output: await toApiBlocks(output, blobs),
  };
}

const toEventEntry = ({ id, type, data, createdAt }: SessionEvent): TimelineEntry => ({
  id,
  type,
  created_at: toApiTime(createdAt),
  data,
});
