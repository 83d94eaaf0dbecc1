import type { Block, Message, Role } from "../../canonical/types.ts";

const SPEAKER: Record<Role, string> = { system: "System", user: "User", assistant: "Assistant" };

/** A conversation as plain text, which any model can read whatever tools it knows. Thinking has no part in it. */
export const renderTranscript = (messages: readonly Message[]): string =>
  messages
    .flatMap(({ role, blocks }) => blocks.map((block) => renderBlock(SPEAKER[role], block)))
    .filter(Boolean)
    .join("\n\n");

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
