import type { Block, Message, Role } from "../../canonical/types.ts";

const SPEAKER: Record<Role, string> = { system: "System", user: "User", assistant: "Assistant" };

/** A conversation as plain text, readable for a model without the tools it used. Reasoning is left out. */
export const renderTranscript = (messages: readonly Message[]): string =>
  messages
    .flatMap(({ role, blocks }) => blocks.map((block) => renderBlock(SPEAKER[role], block)))
    .filter(Boolean)
    .join("\n\n");

/** One line of the transcript; empty for a block that is left out. An opaque block is shown by its fallback text. */
function renderBlock(speaker: string, block: Block): string {
  switch (block.kind) {
    case "text":
      return `${speaker}: ${block.text}`;
    case "thinking":
      return "";
    case "media":
      return `${speaker}: [${block.name ?? block.mime}]`;
    case "tool_call":
      return `${speaker} calls ${block.name}: ${block.arguments}`;
    case "tool_result":
      return `Result of the tool: ${block.content.map((part) => renderBlock("", part).replace(/^: /, "")).join(" ")}`;
    case "opaque":
      return block.gist === undefined ? "" : `${speaker}: ${block.gist}`;
  }
}
