import type { Block } from "./types.ts";

/** The texts of the text blocks, joined. Reasoning, tool calls and all other blocks are left out. */
export const textOfBlocks = (blocks: readonly Block[], separator = ""): string =>
  blocks.flatMap((block) => (block.kind === "text" ? [block.text] : [])).join(separator);
