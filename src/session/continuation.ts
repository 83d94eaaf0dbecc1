import { findLongestKnownPrefix, hashAfter, ROOT } from "../canonical/turn-hash.ts";
import type { Message } from "../canonical/types.ts";
import type { Turn } from "./turns.ts";

/**
 * The turn that a call continues, and how many of its leading messages the session already holds. `at`: the turn's id;
 * undefined: the root.
 */
export type Continuation = { at: string | undefined; matchedCount: number };

/**
 * Finds the turn that messages continue in a session whose path to the head is `path`. `findByHash`: the id of the turn
 * whose transcript has that hash. The first rule that applies decides:
 *
 * 1. The messages start with the transcript of a turn, on the path or not: they continue that turn.
 * 2. They start with the content of a turn in the middle of the path (a client's own loop over tools, a window over the
 *    history): they continue the last turn that they repeat from there.
 * 3. They start with the head's reply: they continue the head.
 * 4. They contain a reply of the path after messages that the session does not know: a transcript whose start was edited.
 *    They continue the root; appended to the head, that reply would be in the history twice.
 * 5. Otherwise all of them are new and continue the head, also replies that the client wrote itself (examples, a handover).
 */
export function findContinuation(
  messages: readonly Message[],
  path: readonly Turn[],
  findByHash: (chain: string) => string | undefined,
): Continuation {
  const head = path.at(-1);
  // If several turns have the same hash, the head is preferred.
  const findTurnId = (name: string): string | undefined => (name === head?.chain ? head.id : findByHash(name));
  const prefix = findLongestKnownPrefix(messages, findTurnId);
  if (prefix !== undefined) return { at: prefix.match, matchedCount: prefix.count };
  return (
    findInPath(messages, path, findTurnId) ??
    matchLastReply(messages, head) ?? { at: hasKnownReply(messages, path) ? undefined : head?.id, matchedCount: 0 }
  );
}

/** Rule 2: messages that repeat a part of the path which does not start at its root. */
export function findInPath(
  messages: readonly Message[],
  path: readonly Turn[],
  findTurnId: (chain: string) => string | undefined,
): Continuation | undefined {
  // A hash covers a whole turn, up to its reply: without a reply that is followed by a user's message none can match.
  if (path.length === 0 || !isAnswered(messages)) return undefined;
  const first = findLongestKnownPrefix(messages, (own) => path.findLast((turn) => turn.own === own));
  if (first === undefined) return undefined;
  const rest = findLongestKnownPrefix(messages.slice(first.count), findTurnId, first.match.chain);
  return { at: rest?.match ?? first.match.id, matchedCount: first.count + (rest?.count ?? 0) };
}

/** Rule 3: leading messages that repeat the head's reply, or only its tool calls, which clients send back with the results. */
export function matchLastReply(messages: readonly Message[], head: Turn | undefined): Continuation | undefined {
  const end = messages.findIndex(({ role }) => role !== "assistant");
  if (head === undefined || end <= 0) return undefined;
  const leading = messages.slice(0, end);
  const calls = leading.flatMap(({ blocks }) => blocks.filter((block) => block.kind === "tool_call"));
  const isCalls = calls.length > 0 && calls.every(({ id }) => head.open.some((open) => open.id === id));
  return isCalls || hashAfter(ROOT, leading) === head.reply ? { at: head.id, matchedCount: end } : undefined;
}

/** Rule 4: a reply of the path stands after a message of the client, and is answered. */
function hasKnownReply(messages: readonly Message[], path: readonly Turn[]): boolean {
  if (path.length === 0 || messages[0]?.role === "assistant" || !isAnswered(messages)) return false;
  const replies = new Set(path.map(({ reply }) => reply));
  return listReplies(messages).some((run) => replies.has(hashAfter(ROOT, run)));
}

/** Runs of consecutive assistant messages: each is one reply. */
function listReplies(messages: readonly Message[]): Message[][] {
  const runs: Message[][] = [];
  messages.forEach((message, i) => {
    if (message.role !== "assistant") return;
    if (messages[i - 1]?.role === "assistant") runs.at(-1)!.push(message);
    else runs.push([message]);
  });
  return runs;
}

/** Whether a user's message follows an assistant's: false for a first message and for a prefilled reply. */
function isAnswered(messages: readonly Message[]): boolean {
  const firstReply = messages.findIndex(({ role }) => role === "assistant");
  return firstReply >= 0 && messages.slice(firstReply).some(({ role }) => role === "user");
}
