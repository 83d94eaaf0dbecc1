import { editItem } from "../../canonical/native.ts";
import type { Block, Message } from "../../canonical/types.ts";
import { toSafeId } from "../dialect.ts";

/**
 * Messages in which no two calls have the same id. The API refuses those ("`tool_use` ids must be unique"),
 * whereas other wires allow them: some clients count from `call_0` in every turn, and deprecated function calls
 * of Chat have a name only.
 *
 * A call whose id occurred before gets a new one that follows from the id and the number of occurrences. Its
 * result gets the same one; results belong to the open calls of an id in order. Earlier messages do not depend
 * on later ones. `isSentVerbatim`: whether a message is sent with its own bytes, which stay.
 */
export function uniqueToolIds(
  messages: readonly Message[],
  isSentVerbatim: (message: Message) => boolean,
): readonly Message[] {
  const counts = new Map<string, number>();
  let open = new Map<string, string[]>();
  let wasAnswered = false;
  const assignId = (id: string, isFixed: boolean): string => {
    const before = counts.get(id) ?? 0;
    counts.set(id, before + 1);
    const own = before === 0 || isFixed ? id : toSafeId(`${id} ${before}`, NO_MATCH);
    open.set(id, [...(open.get(id) ?? []), own]);
    return own;
  };
  const withUniqueId = (block: Block, isFixed: boolean): Block => {
    if (block.kind !== "tool_call" && block.kind !== "tool_result") return block;
    const id = block.kind === "tool_call" ? block.id || block.name : block.id;
    const own = block.kind === "tool_call" ? assignId(id, isFixed) : (open.get(id)?.shift() ?? id);
    return own === id ? block : editItem(block, { id: own });
  };
  return messages.map((message) => {
    if (message.role === "assistant" && wasAnswered) open = new Map();
    wasAnswered = message.role !== "assistant";
    const isFixed = isSentVerbatim(message);
    const blocks = message.blocks.map((block) => withUniqueId(block, isFixed));
    return blocks.every((block, i) => block === message.blocks[i]) ? message : editItem(message, { blocks });
  });
}

/** Matches no id, so that `safeId` always makes a new one. */
const NO_MATCH = /(?!)/;
