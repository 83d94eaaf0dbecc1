import { editItem, type NativeTarget, readNativeItem } from "../canonical/native.ts";
import type { Block, Message, ToolCall } from "../canonical/types.ts";

/** How a wire has the ids of calls, and which messages it sends with their own bytes, which stay. */
type IdRules = {
  isSentVerbatim: (message: Message) => boolean;
  /** The id at the target. `before`: how many calls before it have the same one. */
  fit: (id: string, before: number) => string;
};

/**
 * Messages in which every call has an id that the target accepts, and every result the id of its call as it is sent: also
 * a result that has the target's own form, as a client sends it that answers the call of another provider.
 *
 * Some clients count from `call_0` in every turn, and deprecated function calls of Chat have a name only: results belong
 * to the open calls of an id in order. Earlier messages do not depend on later ones.
 */
export function fitToolIds(
  messages: readonly Message[],
  target: NativeTarget,
  { isSentVerbatim, fit }: IdRules,
): readonly Message[] {
  const counts = new Map<string, number>();
  let open = new Map<string, string[]>();
  let wasAnswered = false;
  const assignId = (call: ToolCall, isFixed: boolean): string => {
    const id = call.id || call.name;
    const before = counts.get(id) ?? 0;
    counts.set(id, before + 1);
    // A call that came over this wire has an id of this wire.
    const isOwn = before === 0 && readNativeItem(call.native, target) !== undefined;
    const own = isFixed || isOwn ? id : fit(id, before);
    open.set(id, [...(open.get(id) ?? []), own]);
    return own;
  };
  const withFittedId = (block: Block, isFixed: boolean): Block => {
    if (block.kind === "tool_call") {
      const own = assignId(block, isFixed);
      return isFixed || own === block.id ? block : editItem(block, { id: own });
    }
    if (block.kind !== "tool_result") return block;
    const own = open.get(block.id)?.shift() ?? (isFixed ? block.id : fit(block.id, 0));
    return own === block.id ? block : editItem(block, { id: own });
  };
  return messages.map((message) => {
    if (message.role === "assistant" && wasAnswered) open = new Map();
    wasAnswered = message.role !== "assistant";
    const isFixed = isSentVerbatim(message);
    const blocks = message.blocks.map((block) => withFittedId(block, isFixed));
    return blocks.every((block, i) => block === message.blocks[i]) ? message : editItem(message, { blocks });
  });
}
