import { isIdOf } from "../canonical/tool-results.ts";
import { findLongestKnownPrefix, hashAfter, ROOT } from "../canonical/turn-hash.ts";
import type { Message } from "../canonical/types.ts";
import type { Turn, TurnCalls, TurnIndex } from "./turns.ts";

/**
 * The turn that a call continues, and how many of its leading messages the session already holds. `at`: the turn's id;
 * undefined: the root.
 */
export type Continuation = { at: string | undefined; matchedCount: number };

/**
 * Finds the turn that messages continue in a session whose path to the head is `path`. The first rule that applies
 * decides:
 *
 * 1. The messages start with the transcript of a turn, on the path or not: they continue that turn.
 * 2. They start with the content of a turn in the middle of the path (a client's own loop over tools, a window over the
 *    history): they continue the last turn that they repeat from there.
 * 3. They start with the head's reply: they continue the head.
 * 4. They start with tool calls or results that belong to another turn than the head: they continue that turn.
 * 5. They contain a reply of the path after messages that the session does not know: a transcript whose start was edited.
 *    They continue the root; appended to the head, that reply would be in the history twice.
 * 6. Otherwise all of them are new and continue the head, also replies that the client wrote itself (examples, a handover).
 *
 * Hashes do not cover ids. Where messages have ids of tool calls, a turn matches only if its calls have them, and messages
 * that the request referenced by their ids match only the turn that has them: an equal reply to an equal question is
 * another reply.
 */
export function findContinuation(messages: readonly Message[], path: readonly Turn[], index: TurnIndex): Continuation {
  const head = path.at(-1);
  const prefix = findLongestKnownPrefix(messages, createLookUp(head, index));
  if (prefix !== undefined) return { at: prefix.match, matchedCount: prefix.count };
  return (
    findInPath(messages, path, index) ??
    matchLastReply(messages, head) ??
    findAnswered(messages, path, index) ?? {
      at: hasKnownReply(messages, path) ? undefined : head?.id,
      matchedCount: 0,
    }
  );
}

/**
 * Finds the turn with a hash and a reply. Of several, one that continues the turn found before is preferred, if
 * ids of calls decided for that one, then the head, then the newest (a compaction has the hash of an older turn).
 */
function createLookUp(
  head: Turn | undefined,
  { listByHash }: TurnIndex,
): (chain: string, reply: readonly Message[]) => string | undefined {
  let before: string | undefined;
  return (chain, reply) => {
    const isHead = head !== undefined && chain === head.chain && isReplyOf(head, reply);
    const isNextHead = isHead && (before === undefined || head.parent === before);
    const all = isNextHead ? [head] : listByHash(chain);
    const matching = all.filter((turn) => isReplyOf(turn, reply));
    const next = matching.find(({ parent }) => before !== undefined && parent === before);
    const id = next?.id ?? (isHead ? head.id : matching[0]?.id);
    if (before !== undefined || matching.length < all.length) before = id ?? before;
    return id;
  };
}

/**
 * Whether the tool calls and the referenced messages in a reply are the turn's, as far as they have ids. Turns that no
 * call made have the items of other turns.
 */
const isReplyOf = ({ id, kind, open }: Pick<Turn, "id" | "kind" | "open">, reply: readonly Message[]): boolean =>
  listToolIds(reply, "tool_call").every((callId) => open.some((call) => isIdOf(call, callId))) &&
  (kind !== "call" || reply.every(({ stored }) => stored === undefined || stored.turn === id));

/** The ids that calls or results have on their wire. */
const listToolIds = (messages: readonly Message[], kind: "tool_call" | "tool_result"): string[] =>
  messages.flatMap(({ blocks }) =>
    blocks.flatMap((block) =>
      block.kind === kind && block.isIdAssigned !== true && block.id !== "" ? [block.id] : [],
    ),
  );

/** The leading messages that are, or are not, of the model. */
function leadingMessages(messages: readonly Message[], isModel: boolean): readonly Message[] {
  const end = messages.findIndex(({ role }) => (role === "assistant") !== isModel);
  return end < 0 ? messages : messages.slice(0, end);
}

/** Rule 2: messages that repeat a part of the path which does not start at its root. */
export function findInPath(
  messages: readonly Message[],
  path: readonly Turn[],
  index: TurnIndex,
): Continuation | undefined {
  // A hash covers a whole turn, up to its reply: without a reply that is followed by a user's message none can match.
  if (path.length === 0 || !isAnswered(messages)) return undefined;
  const results = listToolIds(leadingMessages(messages, false), "tool_result");
  const first = findLongestKnownPrefix(messages, (own, reply) =>
    path.findLast(
      (turn, i) => turn.own === own && isReplyOf(turn, reply) && areAnswersTo(path[i - 1]?.open ?? [], results),
    ),
  );
  if (first === undefined) return undefined;
  const lookUp = createLookUp(path.at(-1), index);
  const rest = findLongestKnownPrefix(messages.slice(first.count), lookUp, first.match.chain);
  return { at: rest?.match ?? first.match.id, matchedCount: first.count + (rest?.count ?? 0) };
}

/** Whether results with these ids, if there are any, answer calls among these. */
const areAnswersTo = (open: Turn["open"], results: readonly string[]): boolean =>
  results.every((id) => open.some((call) => isIdOf(call, id)));

/** Rule 3: leading messages that repeat the head's reply, or only its tool calls, which clients send back with the results. */
export function matchLastReply(messages: readonly Message[], head: Turn | undefined): Continuation | undefined {
  const end = messages.findIndex(({ role }) => role !== "assistant");
  if (head === undefined || end <= 0) return undefined;
  const leading = messages.slice(0, end);
  if (!isReplyOf(head, leading)) return undefined;
  const isCalls = listToolIds(leading, "tool_call").length > 0;
  return isCalls || hashAfter(ROOT, leading) === head.reply ? { at: head.id, matchedCount: end } : undefined;
}

/** Rule 4: the turn whose calls the leading messages repeat or answer, if it is not the head. */
function findAnswered(messages: readonly Message[], path: readonly Turn[], index: TurnIndex): Continuation | undefined {
  const head = path.at(-1);
  if (head === undefined) return undefined;
  const calls = listToolIds(leadingMessages(messages, true), "tool_call");
  const ids = calls.length > 0 ? calls : listToolIds(leadingMessages(messages, false), "tool_result");
  if (ids.length === 0 || ids.some((id) => head.open.some((call) => isIdOf(call, id)))) return undefined;
  const isAnswered = ({ open }: TurnCalls): boolean => areAnswersTo(open, ids);
  const turn = path.findLast(isAnswered) ?? index.listWithCalls().find(isAnswered);
  if (turn === undefined) return undefined;
  return { at: turn.id, matchedCount: calls.length > 0 ? leadingMessages(messages, true).length : 0 };
}

/** Rule 5: a reply of the path stands after a message of the client, and is answered. */
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
