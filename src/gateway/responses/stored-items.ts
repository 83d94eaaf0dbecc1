import type { Message } from "../../canonical/types.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import type { Session } from "../../session/session.ts";
import { isStoredResponse, type StoredResponse } from "../../session/stored-responses.ts";
import { findTurn, listTurnNodes, readAnswer, type Turn } from "../../session/turns.ts";
import type { Sql } from "../../store/sql.ts";
import { objectIdOfItem, withPrefix } from "../../wire/id.ts";
import { isObject, type JsonObject, parseJson } from "../../wire/json.ts";
import { type ItemStore, listTurnItems } from "./turn-items.ts";

/**
 * An item that a request may reference by `id`. `turn`: the id of the turn that has it, or with which the run that has it has ended. `item`: as an item of OpenAI's Responses API. `message`: the same in
 * canonical form; the output of a model has the native items and seals of its own wire.
 */
export type StoredItem = { id: string; turn: string; item: JsonObject; message: Message };

/** Which of a session's items a search covers: those of stored responses, or of the one that this call made. */
export type StoredOnly = { call?: string };

/**
 * The items of the session with these ids: of its history, the newest first, then of its other branches. All of them,
 * unless `only` is given.
 */
export async function findStoredItems(
  ids: readonly string[],
  { session, ...store }: ItemStore & { session: Session },
  only?: StoredOnly,
): Promise<StoredItem[]> {
  const { sql } = store;
  const missing = new Set(ids);
  const found: StoredItem[] = [];
  for (const turn of only?.call === undefined ? listTurns(session, sql) : listTurnOf(sql, only.call)) {
    if (missing.size === 0) break;
    // The turn that ends an answer has the items of all its steps.
    if (turn.kind === "step") continue;
    if (only !== undefined && !isStoredResponse(sql, withPrefix(turn.id, "call"))) continue;
    for (const item of await listReferableItems(turn, store)) if (missing.delete(item.id)) found.push(item);
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

function listTurnOf(sql: Sql, call: string): Turn[] {
  const turn = findTurn(sql, withPrefix(call, "turn"));
  return turn === undefined ? [] : [turn];
}

/** The items of the answer that a turn ends, and of its request, under the ids by which they are listed. */
async function listReferableItems(last: Turn, store: ItemStore): Promise<StoredItem[]> {
  const listed = await listTurnItems(readAnswer(store.sql, last), store);
  const answered = listed.flatMap(({ output }) =>
    output.flatMap(({ id, item, message }) => (isObject(item) ? [{ id, turn: last.id, item, message: message! }] : [])),
  );
  const requested = listed.flatMap(({ turn, input }) =>
    input.flatMap(({ id, item }) =>
      isObject(item) ? [{ id, turn: turn.id, item, message: openaiResponses.decodeMessages([item])[0]! }] : [],
    ),
  );
  return [...answered, ...requested];
}

/** The ids of a stored response's output items that do not lead to their session, and are looked up in the index. */
export function listIndexedIds({ body }: StoredResponse): string[] {
  const { output } = parseJson(body) as JsonObject;
  const items = Array.isArray(output) ? output.filter(isObject) : [];
  return items.flatMap(({ id }) =>
    typeof id === "string" && id !== "" && objectIdOfItem(id) === undefined ? [id] : [],
  );
}
