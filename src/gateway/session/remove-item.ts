import { GatewayError, invalid } from "../../canonical/error.ts";
import { editItem, unseal } from "../../canonical/native.ts";
import type { Block, Message } from "../../canonical/types.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import { copyTurn, rewriteItems } from "../../session/history/compact.ts";
import { storeItemIds } from "../../session/item-ids.ts";
import { offload } from "../../session/large-strings.ts";
import { hidesCalls, linkTurns, type Turn, type UnlinkedTurn, type WireItems } from "../../session/turns.ts";
import type { Blobs } from "../../store/blobs.ts";
import { joinItems, type JsonObject } from "../../wire/json.ts";
import { type ConversationItem, toListed } from "../responses/items.ts";
import { itemTypeOf, listTurnItems, type TurnItem, type TurnItems } from "../responses/turn-items.ts";
import type { CommandServices } from "./commands.ts";

/**
 * Moves the head to a copy of the history without one item; the original turns are not changed, and the other items keep
 * their ids. Seals of later turns are dropped, because a provider accepts them only after the exact prefix they were made
 * for. Calls that the client does not see stay, with their results. Throws `request.invalid` for an item that is in no turn.
 */
export async function removeItem(id: string, { state, lifetime }: CommandServices): Promise<void> {
  const { session, sql, blobs, objectId } = state;
  const { path } = session;
  const lists = await listTurnItems(path, state);
  const at = lists.findIndex((list) => itemsOf(list).some((item) => item.id === id));
  if (at < 0) throw itemNotFound(id);
  const edited = await withoutItem(id, lists[at]!, blobs);
  const isEmpty = edited.input.items === "" && edited.output.items === "";
  const later = path
    .slice(at + 1)
    .map(async (one) => copyTurn(one, one.input, await rewriteItems(one.output, unseal, blobs)));
  const copies = [...(isEmpty ? [] : [edited]), ...(await Promise.all(later))];
  const linked = linkTurns(copies, { parent: path[at - 1], objectId, now: lifetime.now() });
  const left = itemsOf(lists[at]!).filter((item) => item.id !== id);
  const before = [...(isEmpty ? [] : [left]), ...lists.slice(at + 1).map(itemsOf)];
  const after = (await listTurnItems([...path.slice(0, at), ...linked], state)).slice(at);
  linked.forEach((copy, i) => storeItemIds(sql, copy.id, matchIds(itemsOf(after[i]!), before[i]!)));
  session.moveTo(linked, "item_deleted", { item_id: id, before: session.row.head }, path[at - 1]);
}

const itemsOf = ({ input, output }: TurnItems): TurnItem[] => [...input, ...output];

/** A copy of a turn without the item with this id. */
async function withoutItem(id: string, list: TurnItems, blobs: Blobs): Promise<UnlinkedTurn> {
  const { turn, reply } = list;
  const removed = list.output.find((item) => item.id === id);
  if (removed?.isBeside === true)
    throw invalid("item_id", "expected another item: what a server's tool has done is not part of the history itself");
  const input = await withoutSent(id, list, blobs);
  if (removed === undefined) return copyTurn(turn, input, turn.output);
  const { blocks } = removed.message!;
  const calls = new Set(blocks.flatMap((block) => (block.kind === "tool_call" ? [block.id] : [])));
  const output = await rewriteItems(reply as Turn["output"], withoutBlocks(blocks), blobs);
  return { ...copyTurn(turn, input, output), open: turn.open.filter((call) => !calls.has(call.id)) };
}

/** A turn's input without the item with this id; the input itself if it has no such item. */
async function withoutSent(id: string, { turn, input, results }: TurnItems, blobs: Blobs): Promise<WireItems> {
  const left = input.filter((item) => item.id !== id).map(toListed);
  if (left.length === input.length) return turn.input;
  if (left.length === 0 && hidesCalls(turn))
    throw invalid(
      "item_id",
      "expected another item: the gateway has executed tools for the request that consists of this one",
    );
  const isOwn = turn.input.dialect === openaiResponses.id;
  const { cuts: _, ...rest } = turn.input;
  const remaining = [...results, ...left.flatMap((item) => (isOwn ? [item] : toClientItems(item)))];
  return await offload({ ...rest, dialect: openaiResponses.id, items: joinItems(remaining) }, blobs);
}

/** Leaves blocks out of messages. */
const withoutBlocks =
  (removed: readonly Block[]) =>
  (message: Message): Message | undefined => {
    const blocks = message.blocks.filter((block) => !removed.includes(block));
    if (blocks.length === message.blocks.length) return message;
    return blocks.length === 0 ? undefined : unseal(editItem(message, { blocks }));
  };

/** The ids of items that are a part of others, in the same order: sealed ones may be missing. */
function matchIds(items: readonly TurnItem[], before: readonly TurnItem[]): string[] {
  const rest = [...before];
  return items.map(({ id, item }) => {
    const at = rest.findIndex((one) => itemTypeOf(one.item) === itemTypeOf(item));
    return at < 0 ? id : rest.splice(0, at + 1).at(-1)!.id;
  });
}

/**
 * An item that was converted from another wire, as a client would send it. Its id is derived here and unknown to any
 * provider, so it is removed; reasoning items need their original id and are dropped.
 */
function toClientItems({ id: _, ...item }: ConversationItem): JsonObject[] {
  return item.type === "reasoning" ? [] : [item];
}

export const itemNotFound = (id: string): GatewayError =>
  new GatewayError("object.not_found", `Item with id '${id}' not found.`, { param: "item_id" });
