import { isObject, type Json } from "../../wire/json.ts";

/** The label of a reference's opaque block. */
export const ITEM_REFERENCE = "item_reference";

/**
 * Whether the item only names another one by its id (OpenAI API reference, Responses: `item_reference`; its `type` may be
 * absent). Its provider would look it up in a store that all tenants of the gateway share.
 */
export function isReference(item: Json): boolean {
  if (!isObject(item)) return false;
  if ((item.type ?? null) !== null) return item.type === ITEM_REFERENCE;
  return item.id !== undefined && item.role === undefined && item.content === undefined;
}

/** Whether the text of stored items may have a reference. Quotes inside of strings are escaped, so no content matches. */
export const mayHaveReferences = (items: string): boolean => TYPED.test(items) || SHORT.test(items);

const TYPED = new RegExp(`"type"\\s*:\\s*"${ITEM_REFERENCE}"`);
const SHORT = /\{\s*(?:"type"\s*:\s*null\s*,\s*)?"id"\s*:\s*"[^"]*"\s*(?:,\s*"type"\s*:\s*null\s*)?\}/;
