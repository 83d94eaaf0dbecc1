import { invalid } from "../../canonical/error.ts";
import { hashTurn, ROOT } from "../../canonical/turn-hash.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import type { Caller } from "../../keys/caller.ts";
import { offload } from "../../session/large-strings.ts";
import { toSessionRecord } from "../../session/row.ts";
import { linkTurns, listPendingCalls, type Turn } from "../../session/turns.ts";
import { withPrefix } from "../../wire/id.ts";
import { joinItems, type JsonObject } from "../../wire/json.ts";
import { type ConversationItem, listItems, type Page, pageItems, toApiItemList, toListed } from "../responses/items.ts";
import { conversationNotFound } from "../responses/state.ts";
import { listTurnItems } from "../responses/turn-items.ts";
import { type CommandServices, removeSession } from "./commands.ts";
import { itemNotFound, removeItem } from "./remove-item.ts";

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
        const [added] = await listTurnItems([turn], state);
        return Response.json(toApiItemList(added!.input.map(toListed), false));
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

const NO_ITEMS = { dialect: openaiResponses.id, items: "", issuer: "" };

function requireItem(items: readonly ConversationItem[], id: string): ConversationItem {
  const item = items.find((one) => one.id === id);
  if (item === undefined) throw itemNotFound(id);
  return item;
}
