import { GatewayError, invalid } from "../../canonical/error.ts";
import { unseal } from "../../canonical/native.ts";
import { hashTurn, ROOT } from "../../canonical/turn-hash.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import type { Caller } from "../../keys/caller.ts";
import { copyTurn, rewriteItems } from "../../session/history/compact.ts";
import { storeItemIds } from "../../session/item-ids.ts";
import { offload } from "../../session/large-strings.ts";
import { toSessionRecord } from "../../session/row.ts";
import { linkTurns, listPendingCalls, type Turn, type WireItems } from "../../session/turns.ts";
import type { Blobs } from "../../store/blobs.ts";
import { withPrefix } from "../../wire/id.ts";
import { joinItems, type JsonObject } from "../../wire/json.ts";
import {
  type ConversationItem,
  listItems,
  listTurnItems,
  listTurnSides,
  type Page,
  pageItems,
  toApiItemList,
} from "../responses/items.ts";
import { conversationNotFound } from "../responses/state.ts";
import { type CommandServices, removeSession } from "./commands.ts";

/** An operation of OpenAI's Conversations API. A conversation is a session under the prefix `conv_`. */
export type ConversationCommand =
  | { do: "create"; id: string; metadata: Record<string, string>; items: readonly JsonObject[] }
  | { do: "show" | "delete" }
  | { do: "update"; metadata: Record<string, string> }
  | { do: "add"; items: readonly JsonObject[] }
  | ({ do: "items" } & Page)
  | { do: "item" | "deleteItem"; item: string };

/**
 * Runs one operation and returns the response in OpenAI's shape. `id`: the conversation's id as the client wrote it,
 * for error messages. Throws `object.not_found` for another organisation's conversation as for none.
 */
export async function runConversationCommand(
  command: ConversationCommand,
  id: string,
  caller: Caller,
  services: CommandServices,
): Promise<Response> {
  const { state, lifetime, list } = services;
  const { session } = state;
  if (command.do === "create") {
    session.create(caller.org, command.id, { metadata: command.metadata });
    if (command.items.length > 0) await addItems(command.items, services);
    await Promise.all([lifetime.durable(), list(toSessionRecord(session.row, false))]);
    return Response.json(describeConversation(services));
  }
  if (!session.exists || session.row.org !== caller.org) throw conversationNotFound(id);
  switch (command.do) {
    case "show":
      return Response.json(describeConversation(services));
    case "update":
      session.change({ metadata: command.metadata }, "updated");
      await Promise.all([lifetime.durable(), list(toSessionRecord(session.row, false))]);
      return Response.json(describeConversation(services));
    case "delete":
      await lifetime.requireNoHold();
      await removeSession(services);
      return Response.json({ id, object: "conversation.deleted", deleted: true });
    case "add":
      return await withLease(services, async () => {
        const turn = await addItems(command.items, services);
        await lifetime.durable();
        const items = await listTurnItems(turn, state);
        return Response.json(toApiItemList(items, false));
      });
    case "items": {
      const found = pageItems(await listItems(session.path, state), command);
      if (found === undefined) throw invalid("after", "expected the id of an item of this conversation");
      return Response.json(found);
    }
    case "item":
      return Response.json(requireItem(await listItems(session.path, state), command.item));
    case "deleteItem":
      await lifetime.requireNoHold();
      return await withLease(services, async () => {
        await removeItem(command.item, services);
        await lifetime.durable();
        return Response.json(describeConversation(services));
      });
  }
}

/** `created_at`: Unix seconds. */
export const toApiConversation = (id: string, createdAt: number, metadata: Record<string, string>): JsonObject => ({
  id: withPrefix(id, "conv"),
  object: "conversation",
  created_at: Math.floor(createdAt / 1000),
  metadata,
});

const describeConversation = ({ state: { session } }: CommandServices): JsonObject =>
  toApiConversation(session.row.id, session.row.createdAt, session.row.metadata);

/** Runs `work` with the session's lease: calls and changes of items both move the head. */
async function withLease(services: CommandServices, work: () => Promise<Response>): Promise<Response> {
  const release = await services.state.lease.acquire("queue");
  try {
    return await work();
  } finally {
    release();
  }
}

/**
 * Appends a turn that contains only given items, all of them as input. Tool calls in trailing assistant items stay
 * open, so that the next call may bring their results.
 */
async function addItems(
  items: readonly JsonObject[],
  { state: { session, blobs, objectId }, lifetime: { now } }: CommandServices,
): Promise<Turn> {
  const messages = openaiResponses.decodeMessages(items.map((item) => structuredClone(item)));
  const input = { dialect: openaiResponses.id, items: joinItems(items) };
  const end = messages.findLastIndex(({ role }) => role !== "assistant") + 1;
  const [requested, reply] = [messages.slice(0, end), messages.slice(end)];
  const parent = session.head;
  const turn = {
    kind: "items" as const,
    ...hashTurn(parent?.chain ?? ROOT, requested, reply),
    open: listPendingCalls(reply),
    input: await offload(input, blobs),
    output: NO_ITEMS,
  };
  const linked = linkTurns([turn], { parent, objectId, now: now() });
  session.moveTo(linked, "items_added", { turn_id: linked[0]!.id, items: items.length });
  return linked[0]!;
}

/**
 * Moves the head to a copy of the history without one item; the original turns are not changed, and the other items keep
 * their ids. Seals of later turns are dropped, because a provider accepts them only after the exact prefix they were made
 * for.
 */
async function removeItem(id: string, { state, lifetime }: CommandServices): Promise<void> {
  const { session, sql, blobs, objectId } = state;
  const { path } = session;
  const sides = await Promise.all(path.map((turn) => listTurnSides(turn, state)));
  const lists = sides.map(({ input, output }) => [...input, ...output]);
  const at = lists.findIndex((items) => items.some((item) => item.id === id));
  if (at < 0) throw itemNotFound(id);
  const turn = path[at]!;
  const [input, output] = await Promise.all([
    withoutItem(id, turn.input, sides[at]!.input, blobs),
    withoutItem(id, turn.output, sides[at]!.output, blobs),
  ]);
  const isEmpty = input.items === "" && output.items === "";
  const later = path
    .slice(at + 1)
    .map(async (one) => copyTurn(one, one.input, await rewriteItems(one.output, unseal, blobs)));
  const copies = [...(isEmpty ? [] : [copyTurn(turn, input, output)]), ...(await Promise.all(later))];
  const linked = linkTurns(copies, { parent: path[at - 1], objectId, now: lifetime.now() });
  const left = lists[at]!.filter((item) => item.id !== id);
  const before = [...(isEmpty ? [] : [left]), ...lists.slice(at + 1)];
  const ids = await Promise.all(linked.map(async (copy, i) => matchIds(await listTurnItems(copy, state), before[i]!)));
  linked.forEach((copy, i) => storeItemIds(sql, copy.id, ids[i]!));
  session.moveTo(linked, "item_deleted", { item_id: id, before: session.row.head }, path[at - 1]);
}

/** One side of a turn without the item with this id; the side unchanged if it has no such item. `items`: all of the side. */
async function withoutItem<P extends WireItems>(
  id: string,
  side: P,
  items: readonly ConversationItem[],
  blobs: Blobs,
): Promise<P> {
  if (!items.some((item) => item.id === id)) return side;
  const isOwn = side.dialect === openaiResponses.id;
  const remaining = items.filter((item) => item.id !== id).flatMap((item) => (isOwn ? [item] : toClientItems(item)));
  const { cuts: _, ...rest } = side;
  return await offload({ ...rest, dialect: openaiResponses.id, items: joinItems(remaining) } as P, blobs);
}

/** The ids of items that are a part of others, in the same order: sealed ones may be missing. */
function matchIds(items: readonly ConversationItem[], before: readonly ConversationItem[]): string[] {
  const rest = [...before];
  return items.map(({ id, type }) => {
    const at = rest.findIndex((one) => one.type === type);
    return at < 0 ? id : rest.splice(0, at + 1).at(-1)!.id;
  });
}

const NO_ITEMS = { dialect: openaiResponses.id, items: "", issuer: "" };

/**
 * An item that was converted from another wire, as a client would send it. Its id is derived here and unknown to any
 * provider, so it is removed; reasoning items need their original id and are dropped.
 */
function toClientItems({ id: _, ...item }: ConversationItem): JsonObject[] {
  return item.type === "reasoning" ? [] : [item];
}

function requireItem(items: readonly ConversationItem[], id: string): ConversationItem {
  const item = items.find((one) => one.id === id);
  if (item === undefined) throw itemNotFound(id);
  return item;
}

const itemNotFound = (id: string): GatewayError =>
  new GatewayError("object.not_found", `Item with id '${id}' not found.`, { param: "item_id" });
