import type { Message } from "../../canonical/types.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import { pairOutput } from "../../dialects/openai-responses/items.ts";
import { decodeItems } from "../../session/history/decode.ts";
import { findItemIds } from "../../session/item-ids.ts";
import { inline } from "../../session/large-strings.ts";
import type { Session } from "../../session/session.ts";
import { isStoredResponse, type StoredResponse } from "../../session/stored-responses.ts";
import { findLastStep, findTurn, listTurnNodes, type Turn } from "../../session/turns.ts";
import type { Sql } from "../../store/sql.ts";
import { objectIdOfItem, withPrefix } from "../../wire/id.ts";
import { isObject, type JsonObject, parseJson } from "../../wire/json.ts";
import { encodeInput, type ItemStore, withInputId, withOutputId } from "./items.ts";

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
  { session, sql, blobs }: ItemStore & { session: Session },
  only?: StoredOnly,
): Promise<StoredItem[]> {
  const missing = new Set(ids);
  const found: StoredItem[] = [];
  for (const turn of only?.call === undefined ? listTurns(session, sql) : listTurnOf(sql, only.call)) {
    if (missing.size === 0) break;
    if (only !== undefined && !isStoredResponse(sql, withPrefix(turn.id, "call"))) continue;
    for (const item of await listReferableItems(turn, { sql, blobs })) if (missing.delete(item.id)) found.push(item);
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

/** The items of a turn, under the ids by which `listTurnItems` lists them. */
async function listReferableItems(found: Turn, { sql, blobs }: ItemStore): Promise<StoredItem[]> {
  const { id: turn, input, output } = found;
  const [request, reply] = await Promise.all([inline(input, blobs), inline(output, blobs)]);
  const owner = withPrefix(turn, "resp");
  const last = found.kind === "step" ? findLastStep(sql, turn) : turn;
  const ids = findItemIds(sql, found);
  const inputs = encodeInput(request);
  const answered = pairOutput(decodeItems(reply), owner).map(({ item, message }, at) => {
    const id = ids[inputs.length + at] ?? withOutputId(item, owner, at).id;
    return { id, turn: last, item, message };
  });
  const requested = inputs.flatMap((item, at) => {
    const id = ids[at] ?? withInputId(item, turn, at).id;
    return isObject(item) ? [{ id, turn, item, message: openaiResponses.decodeMessages([item])[0]! }] : [];
  });
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
