import type { Message } from "../../canonical/types.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import { encodeOutput } from "../../dialects/openai-responses/items.ts";
import { inline } from "../../session/large-strings.ts";
import type { Session } from "../../session/session.ts";
import type { WireItems, Turn } from "../../session/turns.ts";
import type { Blobs } from "../../store/blobs.ts";
import { sha256 } from "../../wire/hash.ts";
import { withPrefix } from "../../wire/id.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import { decodeItems } from "../../session/history/decode.ts";

/** An item of a conversation as OpenAI lists it: under an id of its own, and finished. */
export type ConversationItem = JsonObject & { id: string; type: string };

type ItemSources = { session: Session; blobs: Blobs };

/** What these turns said, oldest first, in the words of OpenAI's Responses whichever wire it came over. */
export async function listItems(turns: readonly Turn[], { session, blobs }: ItemSources): Promise<ConversationItem[]> {
  const instructions = session.instructions?.items;
  const instructionItems =
    instructions === undefined
      ? []
      : toInputItems({ dialect: session.instructions!.dialect, items: instructions }, session.row.id);
  const turnItems = await Promise.all(turns.map((turn) => listTurnItems(turn, blobs)));
  return [...instructionItems, ...turnItems.flat()];
}

/** The same without the last reply: what the model was given for it. */
export async function listInputItems(turns: readonly Turn[], sources: ItemSources): Promise<ConversationItem[]> {
  const before = await listItems(turns.slice(0, -1), sources);
  const last = turns.at(-1);
  return last === undefined ? before : [...before, ...toInputItems(await inline(last.input, sources.blobs), last.id)];
}

export async function listTurnItems({ id, input, output }: Turn, blobs: Blobs): Promise<ConversationItem[]> {
  const [request, reply] = await Promise.all([inline(input, blobs), inline(output, blobs)]);
  return [...toInputItems(request, id), ...toOutputItems(reply, withPrefix(id, "resp"))];
}

/** What was said to the model; `owner`: whose id the items' own follow from, where they have none. */
function toInputItems(wireItems: WireItems, owner: string): ConversationItem[] {
  const target = {
    dialect: openaiResponses.id,
    model: "",
    ...(wireItems.issuer !== undefined && { issuer: wireItems.issuer }),
  };
  const { value } = openaiResponses.encodeMessages(decodeItems(wireItems), target);
  return value.map((item, at) => withId(item, `${owner} in ${at}`));
}

/** What the model said, under the ids by which it was told. */
function toOutputItems(wireItems: WireItems, owner: string): ConversationItem[] {
  const messages = decodeItems(wireItems);
  return encodeOutput(messages, owner).map((item, at) => withId(item, `${owner} out ${at}`));
}

/** The id that an item has always had, or always will have. */
function withId(item: Json, idSeed: string): ConversationItem {
  const members = isObject(item) ? item : {};
  const type = typeof members.type === "string" ? members.type : "message";
  const id =
    typeof members.id === "string" && members.id !== ""
      ? members.id
      : `${ID_PREFIXES[type] ?? "item"}_${sha256(idSeed).replace(/[-_]/g, "").slice(0, 32)}`;
  return type === "message"
    ? { ...members, id, type, status: members.status ?? "completed", content: toContentParts(members) }
    : { ...members, id, type };
}

const ID_PREFIXES: Record<string, string> = {
  message: "msg",
  function_call: "fc",
  function_call_output: "fco",
  reasoning: "rs",
};

/** A text alone is one part. */
function toContentParts({ content, role }: JsonObject): Json {
  if (typeof content !== "string") return content ?? [];
  return role === "assistant"
    ? [{ type: "output_text", text: content, annotations: [], logprobs: [] }]
    : [{ type: "input_text", text: content }];
}

/** What the users of a conversation said, as a compaction leaves it standing. `owner`: whose id the items' own follow from. */
export function toUserItems(messages: readonly Message[], owner: string): ConversationItem[] {
  const userMessages = messages.flatMap((message): Message[] => {
    const blocks = message.blocks.filter(({ kind }) => kind === "text" || kind === "media");
    return message.role === "user" && blocks.length > 0 ? [{ role: "user", blocks }] : [];
  });
  const { value } = openaiResponses.encodeMessages(userMessages, { dialect: openaiResponses.id, model: "" });
  return value.map((item, at) => withId(item, `${owner} user ${at}`));
}

/** A page of a list, as OpenAI cuts it. `after`: the id of the item behind which it begins. */
export type Page = { limit: number; order: "asc" | "desc"; after?: string | undefined };
export type ItemList = {
  object: "list";
  data: ConversationItem[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
};

/** undefined: there is no item with the id that the page is to begin behind. */
export function pageItems(items: readonly ConversationItem[], { limit, order, after }: Page): ItemList | undefined {
  const ordered = order === "asc" ? items : items.toReversed();
  const from = after === undefined ? 0 : ordered.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && from === 0) return undefined;
  const data = ordered.slice(from, from + limit);
  return toApiItemList(data, from + limit < ordered.length);
}

export const toApiItemList = (data: ConversationItem[], hasMore: boolean): ItemList => ({
  object: "list",
  data,
  first_id: data[0]?.id ?? null,
  last_id: data.at(-1)?.id ?? null,
  has_more: hasMore,
});
