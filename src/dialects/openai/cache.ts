import type { Item } from "../../canonical/types.ts";
import { isObject, type JsonObject } from "../../wire/json.ts";

/**
 * Models with explicit cache breakpoints: GPT-5.6 and later. Earlier models cache prefixes by themselves and
 * refuse the unknown member.
 */
const SUPPORTS_BREAKPOINTS = /^gpt-(5\.([6-9]|\d\d)|[6-9]|\d\d)/;

/**
 * A cache mark at the end of this part. OpenAI has no lifetime for one; the canonical default is five minutes.
 */
export const decodeCacheMark = ({ prompt_cache_breakpoint: mark }: JsonObject): Pick<Item, "cache"> =>
  isObject(mark) ? { cache: "5m" } : {};

/**
 * Adds the mark to a part. Models without breakpoints get none, and that is no loss: the content is the same,
 * and the prefix is cached anyway (docs/decisions, "cache marks are not losses").
 */
export function withCacheMark<T extends JsonObject>(part: T, { cache }: Item, model: string): T | JsonObject {
  if (cache === undefined || !SUPPORTS_BREAKPOINTS.test(model)) return part;
  return { ...part, prompt_cache_breakpoint: { mode: "explicit" } };
}
