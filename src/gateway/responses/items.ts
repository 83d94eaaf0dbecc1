import type { Message } from "../../canonical/types.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import type { Session } from "../../session/session.ts";
import { findFirstStep, type Turn } from "../../session/turns.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import { encodeInput, inputIdOf, type ItemStore, itemTypeOf, listTurnItems, type TurnItem } from "./turn-items.ts";

/** An item of a conversation as OpenAI lists it: it always has an id, and a message is completed. */
export type ConversationItem = JsonObject & { id: string; type: string };

type ItemSources = ItemStore & { session: Session };

/**
 * The instructions and the items of these turns, oldest first, as items of OpenAI's Responses API. Content that came
 * over another wire is converted.
 */
export async function listItems(turns: readonly Turn[], sources: ItemSources): Promise<ConversationItem[]> {
  const listed = await listTurnItems(turns, sources);
  return [...listInstructions(sources), ...listed.flatMap(({ input, output }) => [...input, ...output]).map(toListed)];
}

/** The same up to the answer with which the last turn has ended: the input for which the model generated that. */
export async function listInputItems(path: readonly Turn[], sources: ItemSources): Promise<ConversationItem[]> {
  if (path.length === 0) return [];
  const first = findFirstStep(path);
  const listed = await listTurnItems(path.slice(0, first + 1), sources);
  const items = listed.flatMap(({ input, output }, i) => (i < first ? [...input, ...output] : input));
  return [...listInstructions(sources), ...items.map(toListed)];
}

function listInstructions({ session }: ItemSources): ConversationItem[] {
  const { dialect, items } = session.instructions ?? {};
  if (dialect === undefined || items === undefined) return [];
  const { id } = session.row;
  return encodeInput({ dialect, items }).map((item, at) => toListed({ id: inputIdOf(item, id, at), item }));
}

/** An item as it is listed. */
export function toListed({ id, item }: TurnItem): ConversationItem {
  const members = isObject(item) ? item : {};
  const type = itemTypeOf(item);
  return type === "message"
    ? { ...members, id, type, status: members.status ?? "completed", content: toContentParts(members) }
    : { ...members, id, type };
}

/** Content given as a string becomes one part, the form in which OpenAI lists it. */
function toContentParts({ content, role }: JsonObject): Json {
  if (typeof content !== "string") return content ?? [];
  return role === "assistant"
    ? [{ type: "output_text", text: content, annotations: [], logprobs: [] }]
    : [{ type: "input_text", text: content }];
}

/** The text and media of user messages as items: what remains beside a compaction. `owner`: as for `toInputItems`. */
export function toUserItems(messages: readonly Message[], owner: string): ConversationItem[] {
  const userMessages = messages.flatMap((message): Message[] => {
    const blocks = message.blocks.filter(({ kind }) => kind === "text" || kind === "media");
    return message.role === "user" && blocks.length > 0 ? [{ role: "user", blocks }] : [];
  });
  const { value } = openaiResponses.encodeMessages(userMessages, { dialect: openaiResponses.id, model: "" });
  return value.map((item, at) => toListed({ id: inputIdOf(item, owner, at, "user"), item }));
}

/** A page of a list (OpenAI API reference, pagination). `after`: id of the item that precedes the page. */
export type Page = { limit: number; order: "asc" | "desc"; after?: string | undefined };
/** The list object of OpenAI's API. */
type ItemList<Item> = {
  object: "list";
  data: Item[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
};

/** Returns one page of the items; `undefined` if no item has the id `after`. */
export function pageItems<Item extends { id: string }>(
  items: readonly Item[],
  { limit, order, after }: Page,
): ItemList<Item> | undefined {
  const ordered = order === "asc" ? items : items.toReversed();
  const from = after === undefined ? 0 : ordered.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && from === 0) return undefined;
  const data = ordered.slice(from, from + limit);
  return toApiItemList(data, from + limit < ordered.length);
}

export const toApiItemList = <Item extends { id: string }>(data: Item[], hasMore: boolean): ItemList<Item> => ({
  object: "list",
  data,
  first_id: data[0]?.id ?? null,
  last_id: data.at(-1)?.id ?? null,
  has_more: hasMore,
});
