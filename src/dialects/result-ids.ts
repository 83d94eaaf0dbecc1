import { readNativeItem, readNativeMessage } from "../canonical/native.ts";
import type { Block, Message } from "../canonical/types.ts";
import { isObject, type Json } from "../wire/json.ts";
import { type EncodeTarget, toSafeId } from "./dialect.ts";

/** `pattern`: ids that the target accepts. `member`: of an item with a result, the id of its call. */
type IdRules = { pattern: RegExp; member: string };

/**
 * The messages with the ids of results under which their calls are sent: unchanged for a call that is sent with its own
 * item, otherwise one that the target accepts. Items of results that have another id get this one. A result of no call
 * keeps its item.
 */
export function fitResultIds(messages: readonly Message[], target: EncodeTarget, rules: IdRules): readonly Message[] {
  const { pattern, member } = rules;
  const sent = new Map<string, string>();
  const fitBlock = (block: Block): Block => {
    if (block.kind !== "tool_result") return block;
    const known = sent.get(block.id);
    const isOwn = readNativeItem(block.native, target) !== undefined;
    const id = known ?? (isOwn ? block.id : toSafeId(block.id, pattern));
    const native = known === undefined ? block.native : block.native && fitNative(block.native, member, [id]);
    return id === block.id && native === block.native ? block : { ...block, id, ...(native && { native }) };
  };
  return messages.map((message) => {
    const isSentAlone = readNativeMessage(message, target) !== undefined;
    for (const block of message.blocks) {
      if (block.kind !== "tool_call" || block.id === "") continue;
      const isOwn = isSentAlone || readNativeItem(block.native, target) !== undefined;
      sent.set(block.id, isOwn ? block.id : toSafeId(block.id, pattern));
    }
    const results = message.blocks.filter((block) => block.kind === "tool_result");
    if (results.length === 0) return message;
    const blocks = message.blocks.map(fitBlock);
    const ids = results.map(({ id }) => sent.get(id));
    const native = message.native && isSentAlone ? fitNative(message.native, member, ids) : message.native;
    return blocks.every((block, i) => block === message.blocks[i]) && native === message.native
      ? message
      : { ...message, blocks, ...(native && { native }) };
  });
}

/** An item with results under these ids, in their order; undefined: the id that is there. The same object if nothing changes. */
function fitNative<T extends { item: Json }>(native: T, member: string, ids: readonly (string | undefined)[]): T {
  let next = 0;
  const fit = (item: Json): Json => {
    if (!isObject(item) || typeof item[member] !== "string") return item;
    const id = ids[next++] ?? item[member];
    return id === item[member] ? item : { ...item, [member]: id };
  };
  const { item } = native;
  const content = isObject(item) && item[member] === undefined ? item.content : undefined;
  if (!isObject(item) || !Array.isArray(content)) {
    const fitted = fit(item);
    return fitted === item ? native : { ...native, item: fitted };
  }
  const fitted = content.map(fit);
  return fitted.every((one, i) => one === content[i]) ? native : { ...native, item: { ...item, content: fitted } };
}
