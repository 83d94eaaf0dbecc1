import { CARRIED_SEAL } from "../../canonical/carried.ts";
import type { Message } from "../../canonical/types.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import { encodeOutput } from "../../dialects/openai-responses/items.ts";
import { decodeItems } from "../../session/history/decode.ts";
import { findItemIds } from "../../session/item-ids.ts";
import { inline } from "../../session/large-strings.ts";
import type { Session } from "../../session/session.ts";
import type { Turn, WireItems } from "../../session/turns.ts";
import type { Blobs } from "../../store/blobs.ts";
import type { Sql } from "../../store/sql.ts";
import { deriveInputId, deriveItemId, withPrefix } from "../../wire/id.ts";
import { isObject, type Json, type JsonObject, lookUp } from "../../wire/json.ts";

/** An item of a conversation as OpenAI lists it: it always has an id, and a message is completed. */
export type ConversationItem = JsonObject & { id: string; type: string };

/** Where the content of turns and the ids of their items are stored. */
export type ItemStore = { sql: Sql; blobs: Blobs };
type ItemSources = ItemStore & { session: Session };

/**
 * The instructions and the items of these turns, oldest first, as items of OpenAI's Responses API. Content that came
 * over another wire is converted.
 */
export async function listItems(turns: readonly Turn[], sources: ItemSources): Promise<ConversationItem[]> {
  const { session } = sources;
  const instructions = session.instructions?.items;
  const instructionItems =
    instructions === undefined
      ? []
      : toInputItems({ dialect: session.instructions!.dialect, items: instructions }, session.row.id);
  const turnItems = await Promise.all(turns.map((turn) => listTurnItems(turn, sources)));
  return [...instructionItems, ...turnItems.flat()];
}

/** The same without the output of the last turn: the input for which the model generated it. */
export async function listInputItems(turns: readonly Turn[], sources: ItemSources): Promise<ConversationItem[]> {
  const before = await listItems(turns.slice(0, -1), sources);
  const last = turns.at(-1);
  if (last === undefined) return before;
  const requested = toInputItems(await inline(last.input, sources.blobs), last.id);
  return [...before, ...withIds(requested, findItemIds(sources.sql, last))];
}

/** The items of one turn, input first. */
export async function listTurnItems(turn: Turn, store: ItemStore): Promise<ConversationItem[]> {
  const { input, output } = await listTurnSides(turn, store);
  return [...input, ...output];
}

/** The items of each side of a turn. Offloaded strings are inlined. */
export async function listTurnSides(
  turn: Turn,
  { sql, blobs }: ItemStore,
): Promise<Record<"input" | "output", ConversationItem[]>> {
  const [request, reply] = await Promise.all([inline(turn.input, blobs), inline(turn.output, blobs)]);
  const input = toInputItems(request, turn.id);
  const output = toOutputItems(reply, withPrefix(turn.id, "resp"));
  const ids = findItemIds(sql, turn);
  return { input: withIds(input, ids), output: withIds(output, ids.slice(input.length)) };
}

/** The items with the stored ids, as far as there are any. */
const withIds = (items: readonly ConversationItem[], ids: readonly string[]): ConversationItem[] =>
  items.map((item, at) => ({ ...item, id: ids[at] ?? item.id }));

/** Input as items. `owner`: id of the turn or session, from which ids of items without one are derived. */
const toInputItems = (wireItems: WireItems, owner: string): ConversationItem[] =>
  encodeInput(wireItems).map((item, at) => withInputId(item, owner, at));

/** Input as items that have an id only if the client gave them one. */
export function encodeInput(wireItems: WireItems): Json[] {
  const target = {
    dialect: openaiResponses.id,
    model: "",
    // What a client carries is listed as it sent it.
    issuer: wireItems.issuer ?? CARRIED_SEAL,
  };
  return openaiResponses.encodeMessages(decodeItems(wireItems), target).value;
}

/** An input item with its own id, or with one derived from its owner and its place among the owner's items of a kind. */
export const withInputId = (item: Json, owner: string, at: number, kind = "in"): ConversationItem =>
  withItemId(item, (prefix) => deriveInputId(prefix, owner, `${kind} ${at}`));

/**
 * An output item with its own id, or with one derived as in the answer itself: a stream that another provider went on with
 * has an id that its stored item lacks.
 */
export const withOutputId = (item: Json, owner: string, at: number): ConversationItem =>
  withItemId(item, (prefix) => deriveItemId(prefix, owner, `${at}`));

/** Output as items, with the ids that the client received. `owner`: the response's id. */
function toOutputItems(wireItems: WireItems, owner: string): ConversationItem[] {
  const messages = decodeItems(wireItems);
  return encodeOutput(messages, owner).map((item, at) => withOutputId(item, owner, at));
}

/** The item with its own id, or with a derived one, which is the same for every listing. */
function withItemId(item: Json, deriveId: (prefix: string) => string): ConversationItem {
  const members = isObject(item) ? item : {};
  const type = typeof members.type === "string" ? members.type : "message";
  const id =
    typeof members.id === "string" && members.id !== "" ? members.id : deriveId(lookUp(ID_PREFIXES, type) ?? "item");
  return type === "message"
    ? { ...members, id, type, status: members.status ?? "completed", content: toContentParts(members) }
    : { ...members, id, type };
}

/** Prefixes of OpenAI's own item ids, by item type. */
const ID_PREFIXES: Record<string, string> = {
  message: "msg",
  function_call: "fc",
  function_call_output: "fco",
  reasoning: "rs",
};

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
  return value.map((item, at) => withInputId(item, owner, at, "user"));
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
