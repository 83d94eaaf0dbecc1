import { editItem } from "./native.ts";
import type { Block, Message } from "./types.ts";

/**
 * Moves tool results directly behind the assistant messages with their calls: most wires accept nothing between the two.
 * Everything else keeps its order, so what stood between follows the results. A message that has results among other
 * blocks is divided, unless it is the one behind the calls with the last of their results.
 *
 * Consecutive assistant messages count as one, except where `isSentAlone` changes: whether the wire sends a message by
 * itself, with its own bytes.
 */
export function moveResultsToCalls(
  messages: readonly Message[],
  isSentAlone: (message: Message) => boolean = () => false,
): readonly Message[] {
  const ends = findCallsOfResults(messages, isSentAlone);
  // By index of the last message with calls: that of the last message with their results, and of the last one in place.
  const lastResults = new Map<number, number>();
  ends.forEach((ofMessage, i) => ofMessage.forEach((end) => end !== undefined && lastResults.set(end, i)));
  const lastInPlace = new Map<number, number>();
  const moved = new Map<number, Message[]>();
  const remaining = messages.map((message, i): Message | undefined => {
    const ofMessage = ends[i] ?? [];
    const targets = new Set(ofMessage.filter((end) => end !== undefined));
    const [end] = targets;
    if (end === undefined) return message;
    const isPure = targets.size === 1 && !ofMessage.includes(undefined);
    const isBehind = targets.size === 1 && i === (lastInPlace.get(end) ?? end) + 1;
    if (isBehind && (isPure || lastResults.get(end) === i)) {
      lastInPlace.set(end, i);
      return message;
    }
    const select = (of: number | undefined): Block[] => message.blocks.filter((_, at) => ofMessage[at] === of);
    for (const target of targets)
      moved.set(target, [
        ...(moved.get(target) ?? []),
        isPure ? message : editItem(message, { blocks: select(target) }),
      ]);
    return isPure || !ofMessage.includes(undefined) ? undefined : editItem(message, { blocks: select(undefined) });
  });
  if (moved.size === 0) return messages;
  const insertions = new Map([...moved].map(([end, results]) => [lastInPlace.get(end) ?? end, results]));
  return remaining.flatMap((message, i) => [...(message === undefined ? [] : [message]), ...(insertions.get(i) ?? [])]);
}

/**
 * For each block of each message the index of the last message with the calls that it is a result of; `undefined` for
 * other blocks, and for results of no call. Equal ids occur in several turns: results between two assistant messages
 * belong to the newest calls of their id, in order.
 */
function findCallsOfResults(
  messages: readonly Message[],
  isSentAlone: (message: Message) => boolean,
): (number | undefined)[][] {
  const open = new Map<string, number[]>();
  const found: (number | undefined)[][] = messages.map(() => []);
  for (let start = 0, end = 0; start < messages.length; start = end) {
    const isReply = messages[start]!.role === "assistant";
    const isAlone = isReply && isSentAlone(messages[start]!);
    for (end = start + 1; end < messages.length; end++) {
      const message = messages[end]!;
      if ((message.role === "assistant") !== isReply || (isReply && isSentAlone(message) !== isAlone)) break;
    }
    const stretch = messages
      .slice(start, end)
      .flatMap(({ blocks }, i) => blocks.map((block, at) => ({ block, i: start + i, at })));
    if (isReply) {
      for (const { block } of stretch) {
        if (block.kind === "tool_call") open.set(keyOf(block), [...(open.get(keyOf(block)) ?? []), end - 1]);
      }
      continue;
    }
    const results = Map.groupBy(stretch, ({ block }) => (block.kind === "tool_result" ? keyOf(block) : undefined));
    for (const [key, places] of results) {
      const calls = key === undefined ? [] : (open.get(key)?.splice(-places.length) ?? []);
      places.forEach(({ i, at }, n) => (found[i]![at] = calls[n]));
    }
  }
  return found;
}

/** Deprecated function calls of Chat have no id: the name stands for it. */
const keyOf = ({ id, name }: { id: string; name?: string }): string => id || (name ?? "");
