import { editItem } from "./native.ts";
import type { Block, Message } from "./types.ts";

/**
 * The messages without the thinking in which an answer ends, and without an answer that is nothing else: its model was cut
 * off by a limit. Providers refuse such a history (Anthropic API, error of Messages: "The final block in an assistant message
 * cannot be `thinking`"; OpenAI API, error of Responses: "Item … of type 'reasoning' was provided without its required
 * following item"). Consecutive messages of the assistant are one answer. Messages that need no change are the same objects.
 */
export function withoutUnfinishedThinking(messages: readonly Message[]): readonly Message[] {
  const finished: Message[] = [];
  let isEnd = true;
  let isChanged = false;
  for (const message of messages.toReversed()) {
    const { role, blocks } = message;
    const last = blocks.findLastIndex((block) => !isUnfinished(block));
    const isCut = isEnd && role === "assistant" && last < blocks.length - 1 && blocks.some(isThinking);
    isChanged ||= isCut;
    if (isCut && last < 0) continue;
    finished.push(isCut ? editItem(message, { blocks: blocks.slice(0, last + 1) }) : message);
    isEnd = role !== "assistant";
  }
  return isChanged ? finished.toReversed() : messages;
}

const isThinking = ({ kind }: Block): boolean => kind === "thinking";

/** Nothing that could follow thinking. */
const isUnfinished = (block: Block): boolean => isThinking(block) || (block.kind === "text" && block.text === "");
