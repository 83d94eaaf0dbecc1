import { deltaTextOf } from "../../canonical/accumulator.ts";
import type { Block, Text } from "../../canonical/types.ts";
import type { JsonObject } from "../../wire/json.ts";

/**
 * The author determines the part types of a message: `output_text` for the model, `input_…` for everyone else.
 */
export type ItemRole = "model" | "client";

/** A refusal is a part of its own in output and plain text in input. */
export function encodeText(text: Text, author: ItemRole): JsonObject {
  if (author === "client") return { type: "input_text", text: text.text };
  return text.refusal ? { type: "refusal", refusal: text.text } : { type: "output_text", text: text.text };
}

/** The block with the text of its deltas, if it has no text of its own. */
export function withText(block: Block, text: string): Block {
  if (deltaTextOf(block) !== "") return block;
  if (block.kind === "text" || block.kind === "thinking") return { ...block, text };
  return block.kind === "tool_call" ? { ...block, arguments: text } : block;
}
