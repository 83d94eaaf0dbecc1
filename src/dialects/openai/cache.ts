import type { Item } from "../../canonical/types.ts";
import { isObject, type JsonObject } from "../../wire/json.ts";

/** From GPT-5.6 on; the models before it cache by prefix alone, and refuse a member that they do not know. */
const SUPPORTS_BREAKPOINTS = /^gpt-(5\.([6-9]|\d\d)|[6-9]|\d\d)/;

/** A part up to which a cache is wanted. OpenAI's marks have no lifetime of their own: the usual one. */
export const decodeCacheMark = ({ prompt_cache_breakpoint: mark }: JsonObject): Pick<Item, "cache"> =>
  isObject(mark) ? { cache: "5m" } : {};

/** Where there are no marks nothing is lost: what is said is the same, and cached by itself. */
export function withCacheMark<T extends JsonObject>(part: T, { cache }: Item, model: string): T | JsonObject {
  if (cache === undefined || !SUPPORTS_BREAKPOINTS.test(model)) return part;
  return { ...part, prompt_cache_breakpoint: { mode: "explicit" } };
}
