import type { Block } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringOf, tryParseJson } from "../../wire/json.ts";
import { decodeBlock } from "./blocks.ts";

/**
 * A content block during a stream: `item` as a response without streaming would have it so far, `partial` the
 * JSON text of its input, `stopped` after `content_block_stop`.
 */
export type OpenBlock = { index: number; item: JsonObject; partial: string; stopped: boolean };

/**
 * Adds a delta. The members of an unknown delta are added: texts and lists grow, other values replace the
 * earlier one.
 */
export function appendDelta(block: OpenBlock, delta: JsonObject): void {
  switch (delta.type) {
    case "input_json_delta":
      block.partial += stringOf(delta.partial_json) ?? "";
      return;
    case "citations_delta":
      block.item.citations = [...listOf(block.item.citations), delta.citation ?? null];
      return;
    default:
      for (const [member, value] of Object.entries(delta))
        if (member !== "type") block.item[member] = appendValue(block.item[member], value);
  }
}

/** The text that a delta adds to its block; "" for signatures, citations and the like. */
export function textOfDelta({ item }: OpenBlock, delta: JsonObject): string {
  if (item.type === "text" && delta.type === "text_delta") return stringOf(delta.text) ?? "";
  if (item.type === "thinking" && delta.type === "thinking_delta") return stringOf(delta.thinking) ?? "";
  return item.type === "tool_use" && delta.type === "input_json_delta" ? (stringOf(delta.partial_json) ?? "") : "";
}

/**
 * The block for a delta without `content_block_start`; `undefined` if the delta does not determine one.
 */
export function startOfDelta(delta: JsonObject): JsonObject | undefined {
  if (delta.type === "text_delta" && typeof delta.text === "string") return { type: "text", text: "" };
  const isThinking = delta.type === "thinking_delta" && typeof delta.thinking === "string";
  return isThinking ? { type: "thinking", thinking: "" } : undefined;
}

/**
 * The block as received so far. Canonical arguments are the text of the deltas; only the native item has them
 * parsed, as the wire does.
 */
export function currentBlock({ item, partial }: OpenBlock, seal?: string): Block {
  if (partial === "") return decodeBlock(item, seal);
  const input = tryParseJson(partial);
  // Input that was cut by the length limit stays as text inside an object, the only form of the wire.
  const finished = { ...item, input: isObject(input) ? input : { _raw: partial } };
  const block = decodeBlock(finished, seal);
  return block.kind === "tool_call" ? { ...block, arguments: partial } : block;
}

function appendValue(before: Json | undefined, more: Json): Json {
  if (typeof before === "string" && typeof more === "string") return before + more;
  if (Array.isArray(before) && Array.isArray(more)) return [...before, ...more];
  // A value of another type cannot continue a text.
  if (typeof before === "string") return before;
  return more ?? before ?? null;
}

const listOf = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);
