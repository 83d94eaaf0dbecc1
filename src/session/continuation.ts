import { findLongestKnownPrefix, hashAfter, ROOT } from "../canonical/turn-hash.ts";
import type { Message } from "../canonical/types.ts";
import type { Turn } from "./turns.ts";

/**
 * Where a call continues, and how many of its messages the session already holds. `at`: a turn's id; undefined is the
 * beginning of the session.
 */
export type Continuation = { at: string | undefined; matchedCount: number };

/**
 * Where messages stand that come to a session whose way to the head is `path`. `named`: the turn that ends at a place.
 *
 * 1. They begin with what the session holds, up to whatever turn: there.
 * 2. They begin with what some turn of the path said (a client's own loop over tools, a window over the history): behind
 *    the part of the path that they repeat.
 * 3. They begin with the model's last words: at the head.
 * 4. They hold a reply of the path behind words that the session does not know: a transcript whose beginning was edited.
 *    It stands at the beginning of the session, since to append it would say that reply twice.
 * 5. Anything else is new as a whole, at the head: also replies that a client wrote itself (examples, a handover).
 */
export function findContinuation(
  messages: readonly Message[],
  path: readonly Turn[],
  findByHash: (chain: string) => string | undefined,
): Continuation {
  const head = path.at(-1);
  // Of two turns with the same name the one that the session stands at is meant.
  const findTurnId = (name: string): string | undefined => (name === head?.chain ? head.id : findByHash(name));
  const prefix = findLongestKnownPrefix(messages, findTurnId);
  if (prefix !== undefined) return { at: prefix.place, matchedCount: prefix.count };
  return (
    findInPath(messages, path, findTurnId) ??
    matchLastReply(messages, head) ?? { at: hasKnownReply(messages, path) ? undefined : head?.id, matchedCount: 0 }
  );
}

/** Where the messages continue the path from somewhere within it. */
export function findInPath(
  messages: readonly Message[],
  path: readonly Turn[],
  findTurnId: (chain: string) => string | undefined,
): Continuation | undefined {
  // A turn is known by its reply's end; without any reply that others follow, nothing needs to be looked for.
  if (path.length === 0 || !isAnswered(messages)) return undefined;
  const first = findLongestKnownPrefix(messages, (own) => path.findLast((turn) => turn.own === own));
  if (first === undefined) return undefined;
  const rest = findLongestKnownPrefix(messages.slice(first.count), findTurnId, first.place.chain);
  return { at: rest?.place ?? first.place.id, matchedCount: first.count + (rest?.count ?? 0) };
}

/** How many of the messages are what the head's reply said, or its tool calls: clients send these back with the results. */
export function matchLastReply(messages: readonly Message[], head: Turn | undefined): Continuation | undefined {
  const end = messages.findIndex(({ role }) => role !== "assistant");
  if (head === undefined || end <= 0) return undefined;
  const leading = messages.slice(0, end);
  const calls = leading.flatMap(({ blocks }) => blocks.filter((block) => block.kind === "tool_call"));
  const isCalls = calls.length > 0 && calls.every(({ id }) => head.open.some((open) => open.id === id));
  return isCalls || hashAfter(ROOT, leading) === head.reply ? { at: head.id, matchedCount: end } : undefined;
}

/** Behind words of the client's own stands a reply that the path holds, and something after it. */
function hasKnownReply(messages: readonly Message[], path: readonly Turn[]): boolean {
  if (path.length === 0 || messages[0]?.role === "assistant" || !isAnswered(messages)) return false;
  const replies = new Set(path.map(({ reply }) => reply));
  return listReplies(messages).some((run) => replies.has(hashAfter(ROOT, run)));
}

/** The messages of each of the model's replies. */
function listReplies(messages: readonly Message[]): Message[][] {
  const runs: Message[][] = [];
  messages.forEach((message, i) => {
    if (message.role !== "assistant") return;
    if (messages[i - 1]?.role === "assistant") runs.at(-1)!.push(message);
    else runs.push([message]);
  });
  return runs;
}

/** The model said something, and the client something after it: no single message, nor one with the reply's beginning. */
function isAnswered(messages: readonly Message[]): boolean {
  const firstReply = messages.findIndex(({ role }) => role === "assistant");
  return firstReply >= 0 && messages.slice(firstReply).some(({ role }) => role === "user");
}
