import type { Block } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";
import { decodeBlock } from "./blocks.ts";

/** A content block on its way: the item as the wire would write it whole so far, and the JSON text of its input. */
export type OpenBlock = { index: number; item: JsonObject; partial: string; stopped: boolean };

/** Adds a delta. One that nobody knows adds its members: texts and lists grow, anything else is the last word. */
export function appendDelta(block: OpenBlock, delta: JsonObject): void {
  switch (delta.type) {
    case "input_json_delta":
      block.partial += stringifyMember(delta.partial_json);
      return;
    case "citations_delta":
      block.item.citations = [...listOf(block.item.citations), delta.citation ?? null];
      return;
    default:
      for (const [member, value] of Object.entries(delta))
        if (member !== "type") block.item[member] = appendValue(block.item[member], value);
  }
}

/** What a delta adds to the block's growing text: "" for signatures, citations and the like. */
export function textOfDelta({ item }: OpenBlock, delta: JsonObject): string {
  if (item.type === "text" && delta.type === "text_delta") return stringifyMember(delta.text);
  if (item.type === "thinking" && delta.type === "thinking_delta") return stringifyMember(delta.thinking);
  return item.type === "tool_use" && delta.type === "input_json_delta" ? stringifyMember(delta.partial_json) : "";
}

/** The block that a delta without a beginning belongs to; undefined where the delta does not tell. */
export function startOfDelta(delta: JsonObject): JsonObject | undefined {
  if (delta.type === "text_delta") return { type: "text", text: "" };
  return delta.type === "thinking_delta" ? { type: "thinking", thinking: "" } : undefined;
}

/** The block as it stands. Its arguments are the text that came: only the native has them parsed, as the wire does. */
export function currentBlock({ item, partial }: OpenBlock, seal?: string): Block {
  if (partial === "") return decodeBlock(item, seal);
  const input = tryParseJson(partial);
  // Cut by the length limit: kept as text, in an object, as the wire takes no other.
  const finished = { ...item, input: isObject(input) ? input : { _raw: partial } };
  const block = decodeBlock(finished, seal);
  return block.kind === "tool_call" ? { ...block, arguments: partial } : block;
}

function appendValue(before: Json | undefined, more: Json): Json {
  if (typeof before === "string" && typeof more === "string") return before + more;
  if (Array.isArray(before) && Array.isArray(more)) return [...before, ...more];
  return more ?? before ?? null;
}

const listOf = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);
