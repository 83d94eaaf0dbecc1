import type { Message } from "./types.ts";

/**
 * Gives results the ids of the calls they answer, where the wire pairs the two by name and order (Gemini's calls mostly
 * have no id). A result with a known id is left alone; any other answers the first open call of its name. Only the last
 * words of the model are open: what it said before was answered, or never will be.
 */
export function pairResults(messages: readonly Message[]): Message[] {
  let open: { id: string; name: string }[] = [];
  let wasAnswered = false;
  return messages.map((message) => {
    if (message.role === "assistant" && wasAnswered) open = [];
    wasAnswered = message.role !== "assistant";
    const blocks = message.blocks.map((block) => {
      if (block.kind === "tool_call") open.push({ id: block.id, name: block.name });
      if (block.kind !== "tool_result") return block;
      const matching = open.findIndex(({ id }) => id === block.id);
      const at = matching >= 0 ? matching : open.findIndex(({ name }) => name === block.name);
      const [call] = at < 0 ? [] : open.splice(at, 1);
      return call === undefined || call.id === block.id ? block : { ...block, id: call.id };
    });
    return { ...message, blocks };
  });
}
