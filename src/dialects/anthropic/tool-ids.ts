import { edit } from "../../canonical/native.ts";
import type { Block, Message } from "../../canonical/types.ts";
import { safeId } from "../dialect.ts";

/**
 * Messages in which no two calls have one id. The API refuses those ("`tool_use` ids must be unique"), and other wires
 * do not: some clients count from `call_0` again in every turn, and Chat's old function calls have their name alone.
 *
 * A call whose id stood before gets one that follows from it and from how often it did, and its result gets the same,
 * results answering open calls of one id in their order. What is added behind changes nothing before. `isWhole`: what is
 * said in its own bytes, which stay.
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
    const own = before === 0 || isFixed ? id : safeId(`${id} ${before}`, NO_MATCH);
    open.set(id, [...(open.get(id) ?? []), own]);
    return own;
  };
  const withUniqueId = (block: Block, isFixed: boolean): Block => {
    if (block.kind !== "tool_call" && block.kind !== "tool_result") return block;
    const id = block.kind === "tool_call" ? block.id || block.name : block.id;
    const own = block.kind === "tool_call" ? assignId(id, isFixed) : (open.get(id)?.shift() ?? id);
    return own === id ? block : edit(block, { id: own });
  };
  return messages.map((message) => {
    if (message.role === "assistant" && wasAnswered) open = new Map();
    wasAnswered = message.role !== "assistant";
    const isFixed = isSentVerbatim(message);
    const blocks = message.blocks.map((block) => withUniqueId(block, isFixed));
    return blocks.every((block, i) => block === message.blocks[i]) ? message : edit(message, { blocks });
  });
}

/** Fits no id: each is made anew. */
const NO_MATCH = /(?!)/;
