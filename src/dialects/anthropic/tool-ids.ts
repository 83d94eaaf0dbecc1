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
  isWhole: (message: Message) => boolean,
): readonly Message[] {
  const times = new Map<string, number>();
  let open = new Map<string, string[]>();
  let wasAnswered = false;
  const called = (id: string, isKept: boolean): string => {
    const before = times.get(id) ?? 0;
    times.set(id, before + 1);
    const own = before === 0 || isKept ? id : safeId(`${id} ${before}`, NONE);
    open.set(id, [...(open.get(id) ?? []), own]);
    return own;
  };
  const named = (block: Block, isKept: boolean): Block => {
    if (block.kind !== "tool_call" && block.kind !== "tool_result") return block;
    const id = block.kind === "tool_call" ? block.id || block.name : block.id;
    const own = block.kind === "tool_call" ? called(id, isKept) : (open.get(id)?.shift() ?? id);
    return own === id ? block : edit(block, { id: own });
  };
  return messages.map((message) => {
    if (message.role === "assistant" && wasAnswered) open = new Map();
    wasAnswered = message.role !== "assistant";
    const isKept = isWhole(message);
    const blocks = message.blocks.map((block) => named(block, isKept));
    return blocks.every((block, i) => block === message.blocks[i]) ? message : edit(message, { blocks });
  });
}

/** Fits no id: each is made anew. */
const NONE = /(?!)/;
