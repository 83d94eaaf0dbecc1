import type { Json } from "../wire/json.ts";
import { CARRIED_SEAL, carriedTextOf } from "./carried.ts";
import type { Dialect, Item, Message, Native } from "./types.ts";

/**
 * The receiver of an encoded message: a dialect, and the issuer whose sealed items it can open. `open`: the item in a text
 * that the client carries (`carried.ts`), `undefined` if the text has none or is not this organisation's.
 */
export type NativeTarget = { dialect: Dialect; issuer?: string; open?: (carried: string) => Native | undefined };

/** The original wire item, if the target has its dialect and can open its seal. */
export function readNativeItem(native: Native | undefined, target: NativeTarget): Json | undefined {
  if (native?.seal === CARRIED_SEAL && target.issuer !== CARRIED_SEAL)
    return readNativeItem(target.open?.(carriedTextOf(native.item) ?? ""), target);
  if (native === undefined || native.dialect !== target.dialect) return undefined;
  return native.seal === undefined || native.seal === target.issuer ? native.item : undefined;
}

/** The original wire item of a message, if the target can open the seals of all of its blocks. */
export function readNativeMessage(message: Message, target: NativeTarget): Json | undefined {
  const isAllowed = message.blocks.every(
    (block) => block.native?.seal === undefined || block.native.seal === target.issuer,
  );
  return isAllowed ? readNativeItem(message.native, target) : undefined;
}

/** Changes an item. `native` is dropped: it would no longer match. Items are never changed in any other way. */
export function editItem<T extends Item>(item: T, changes: Partial<Omit<T, "native">>): T {
  const { native: _, ...view } = item;
  return { ...view, ...changes } as T;
}

/**
 * The message without sealed data: sealed reasoning and opaque blocks are removed, other sealed blocks lose `native`.
 * Signatures cover the messages before them, so every message after a changed one must be unsealed.
 */
export function unseal(message: Message): Message {
  if (!hasSeal(message)) return message;
  const blocks = message.blocks.flatMap((block) => {
    if (block.native?.seal === undefined) return [block];
    if (block.kind === "thinking" || block.kind === "opaque") return [];
    return [editItem(block, {})];
  });
  return editItem(message, { blocks });
}

/** Whether the message or one of its blocks can be opened only by its issuer. */
export const hasSeal = (message: Message): boolean =>
  message.native?.seal !== undefined || message.blocks.some((block) => block.native?.seal !== undefined);
