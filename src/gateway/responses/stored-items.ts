import type { Message } from "../../canonical/types.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import { pairOutput } from "../../dialects/openai-responses/items.ts";
import { decodeItems } from "../../session/history/decode.ts";
import { inline } from "../../session/large-strings.ts";
import type { Session } from "../../session/session.ts";
import { isStoredResponse, type StoredResponse } from "../../session/stored-responses.ts";
import { findTurn, listTurnNodes, type Turn } from "../../session/turns.ts";
import type { Blobs } from "../../store/blobs.ts";
import type { Sql } from "../../store/sql.ts";
import { withPrefix } from "../../wire/id.ts";
import { isObject, type JsonObject, parseJson } from "../../wire/json.ts";
import { encodeInput, toInputSeed, toOutputSeed, withItemId } from "./items.ts";

/**
 * An item that a request may reference by `id`. `item`: as an item of OpenAI's Responses API. `message`: the same in
 * canonical form; the output of a model has the native items and seals of its own wire.
 */
export type StoredItem = { id: string; item: JsonObject; message: Message };

type ItemStore = { session: Session; sql: Sql; blobs: Blobs };

/**
 * The items of the session with these ids: of its history, the newest first, then of its other branches. `call`: only of
 * this call, if its response is stored.
 */
export async function findStoredItems(
  ids: readonly string[],
  { session, sql, blobs }: ItemStore,
  call?: string,
): Promise<StoredItem[]> {
  const missing = new Set(ids);
  const found: StoredItem[] = [];
  for (const turn of call === undefined ? listTurns(session, sql) : findStoredTurn(sql, call)) {
    if (missing.size === 0) break;
    for (const item of await listReferableItems(turn, blobs)) if (missing.delete(item.id)) found.push(item);
  }
  return found;
}

function* listTurns(session: Session, sql: Sql): Generator<Turn> {
  const { path } = session;
  yield* path.toReversed();
  const onPath = new Set(path.map(({ id }) => id));
  for (const { id } of listTurnNodes(sql).toReversed()) {
    const turn = onPath.has(id) ? undefined : findTurn(sql, id);
    if (turn !== undefined) yield turn;
  }
}

function findStoredTurn(sql: Sql, call: string): Turn[] {
  const turn = isStoredResponse(sql, call) ? findTurn(sql, withPrefix(call, "turn")) : undefined;
  return turn === undefined ? [] : [turn];
}

/** The items of a turn, under the ids by which `listTurnItems` lists them. */
async function listReferableItems({ id: turn, input, output }: Turn, blobs: Blobs): Promise<StoredItem[]> {
  const [request, reply] = await Promise.all([inline(input, blobs), inline(output, blobs)]);
  const owner = withPrefix(turn, "resp");
  const answered = pairOutput(decodeItems(reply), owner).map(({ item, message }, at) => {
    const { id } = withItemId(item, toOutputSeed(owner, at));
    return { id, item, message };
  });
  const requested = encodeInput(request).flatMap((item, at) => {
    const { id } = withItemId(item, toInputSeed(turn, at));
    return isObject(item) ? [{ id, item, message: openaiResponses.decodeMessages([item])[0]! }] : [];
  });
  return [...answered, ...requested];
}

/** The ids of a stored response's output items. */
export function listOutputIds({ body }: StoredResponse): string[] {
  const { output } = parseJson(body) as JsonObject;
  const items = Array.isArray(output) ? output.filter(isObject) : [];
  return items.flatMap(({ id }) => (typeof id === "string" && id !== "" ? [id] : []));
}
