import { editItem } from "./native.ts";
import type { Item, Message, ModelRequest, Part } from "./types.ts";

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

const listMarked = (items: readonly Item[]): Item[] =>
  items.flatMap((item) => [...listMarked(contentOf(item)), ...(item.cache === undefined ? [] : [item])]);

/** The parts of a tool result; other items have none. */
const contentOf = (item: Item & { kind?: string; content?: readonly Part[] }): readonly Part[] =>
  item.kind === "tool_result" ? (item.content ?? []) : [];
