import type { Message } from "./types.ts";

/**
 * Gives tool results the ids of the calls they answer, for wires that match them by name and order (most Gemini calls have
 * no id). A result whose id matches a call is unchanged; any other answers the first unanswered call of its name. Only calls
 * since the last client message are considered: earlier ones were answered or never will be.
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
