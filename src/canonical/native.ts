import type { Json } from "../wire/json.ts";
import type { Dialect, Item, Message, Native } from "./types.ts";

/** Who reads next: a wire, and the issuer whose seals can be opened there. */
export type NativeTarget = { dialect: Dialect; issuer?: string };

/** The wire item itself, if the target speaks its dialect and may open it. */
export function verbatim(native: Native | undefined, target: NativeTarget): Json | undefined {
  if (native === undefined || native.dialect !== target.dialect) return undefined;
  return native.seal === undefined || native.seal === target.issuer ? native.item : undefined;
}

/** A message is said again whole only when every block in it may be. */
export function verbatimMessage(message: Message, target: NativeTarget): Json | undefined {
  const isAllowed = message.blocks.every(
    (block) => block.native?.seal === undefined || block.native.seal === target.issuer,
  );
  return isAllowed ? verbatim(message.native, target) : undefined;
}

/** The only way to change a view: what it was a view of no longer says the same, and goes. */
export function edit<T extends Item>(item: T, changes: Partial<Omit<T, "native">>): T {
  const { native: _, ...view } = item;
  return { ...view, ...changes } as T;
}

/** Without what only its issuer can open. */
export function unseal(message: Message): Message {
  if (!hasSeal(message)) return message;
  const blocks = message.blocks.flatMap((block) => {
    if (block.native?.seal === undefined) return [block];
    if (block.kind === "thinking" || block.kind === "opaque") return [];
    return [edit(block, {})];
  });
  return edit(message, { blocks });
}

export const hasSeal = (message: Message): boolean =>
  message.native?.seal !== undefined || message.blocks.some((block) => block.native?.seal !== undefined);
