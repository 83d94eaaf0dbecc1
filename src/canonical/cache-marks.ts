import { editItem } from "./native.ts";
import type { Block, Dialect, Item, Message, ModelRequest, Part } from "./types.ts";

/** How long a provider caches the prompt up to a mark. */
export type Lifetime = NonNullable<Item["cache"]>;

/**
 * The request with those of its marks that `select` accepts: indexes among all of them, tools first. Only for items that
 * are encoded for another wire: a mark inside of `native` stays.
 */
export function limitMarks(
  request: ModelRequest,
  select: (lifetimes: readonly Lifetime[]) => ReadonlySet<number>,
): ModelRequest {
  const { tools = [], messages } = request;
  const marked = [...listMarked(tools), ...messages.flatMap(({ blocks }) => listMarked(blocks))];
  const selected = select(marked.map(({ cache }) => cache!));
  if (selected.size === marked.length) return request;
  const refused = new Set(marked.filter((_, i) => !selected.has(i)));
  const unmark = <T extends Item>(item: T): T => {
    const { cache, ...rest } = item;
    const content = contentOf(item);
    return {
      ...rest,
      ...(cache !== undefined && !refused.has(item) && { cache }),
      ...(content.length > 0 && { content: content.map(unmark) }),
    } as T;
  };
  const isChanged = ({ blocks }: Message): boolean => listMarked(blocks).some((item) => refused.has(item));
  return {
    ...request,
    ...(request.tools !== undefined && { tools: request.tools.map(unmark) }),
    messages: messages.map((message) =>
      isChanged(message) ? editItem(message, { blocks: message.blocks.map(unmark) }) : message,
    ),
  };
}

/**
 * Marks a request that has no marks where a careful client would: at the last tool, the last system message and the last
 * message. The next call of an agent or a conversation then reads what is before them from the cache. A request that
 * nothing will follow is not marked, because writing to a cache has a price, too.
 */
export function markPrefixes(request: ModelRequest, dialect: Dialect): ModelRequest {
  const { tools = [], messages } = request;
  const isMarked = listMarked(tools).length > 0 || messages.some(({ blocks }) => listMarked(blocks).length > 0);
  const isFollowed = tools.some(({ kind }) => kind === "function") || messages.some(({ role }) => role === "assistant");
  if (isMarked || !isFollowed) return request;
  const lastTool = tools.findLastIndex(({ kind }) => kind === "function");
  const firstOther = messages.findIndex(({ role }) => role !== "system");
  const ends = new Set([(firstOther < 0 ? messages.length : firstOther) - 1, messages.length - 1]);
  return {
    ...request,
    ...(request.tools && { tools: tools.map((tool, i) => (i === lastTool ? { ...tool, cache: "5m" } : tool)) }),
    messages: messages.map((message, i) => (ends.has(i) ? markEnd(message, dialect) : message)),
  };
}

/** The message with a mark at the last block that can have one, unless it is sent as the item that it was. */
function markEnd(message: Message, dialect: Dialect): Message {
  const at = message.blocks.findLastIndex(isMarkable);
  if (at < 0 || message.role === "assistant" || message.native?.dialect === dialect) return message;
  return editItem(message, { blocks: message.blocks.with(at, { ...message.blocks[at]!, cache: "5m" }) });
}

const isMarkable = (block: Block): boolean =>
  block.kind === "tool_result" || (block.kind === "text" && block.text.trim() !== "");

const listMarked = (items: readonly Item[]): Item[] =>
  items.flatMap((item) => [...listMarked(contentOf(item)), ...(item.cache === undefined ? [] : [item])]);

/** The parts of a tool result; other items have none. */
const contentOf = (item: Item & { kind?: string; content?: readonly Part[] }): readonly Part[] =>
  item.kind === "tool_result" ? (item.content ?? []) : [];
