import { isIdOf } from "../canonical/tool-results.ts";
import { findLongestKnownPrefix, hashAfter, ROOT } from "../canonical/turn-hash.ts";
import type { Message } from "../canonical/types.ts";
import { findFirstStep, type Turn, type TurnCalls, type TurnIndex } from "./turns.ts";

/**
 * The turn that a call continues, and how many of its leading messages the session already holds. `at`: the turn's id;
 * undefined: the root.
 */
export type Continuation = { at: string | undefined; matchedCount: number };

/**
 * A place in a transcript at which a turn of the session ends: so many of its messages are known, and the turn's reply
 * starts at the message `replyAt`. `hash`: that of the transcript up to it.
 */
export type Checkpoint = { turn: string; count: number; replyAt: number; hash: string };

/** Messages, and the session that they continue. `path`: the turns up to the head. */
type Continued = TranscriptReading & { messages: readonly Message[]; path: readonly Turn[]; index: TurnIndex };

/**
 * How a transcript is read. `from`: a checkpoint of it, from whose reply on its messages are given; what it says must hold,
 * and no two turns may have the same hash. `onTurn` gets each turn that ends in the transcript behind it. `prefer`: which of
 * several turns with one hash is meant, where nothing else says so.
 */
export type TranscriptReading = {
  from?: Checkpoint | undefined;
  onTurn?: (checkpoint: Checkpoint) => void;
  prefer?: (turn: string) => boolean;
};

type Rule = (continued: Continued) => Continuation | undefined;

/**
 * How a session finds the turn that a call continues. The first rule that applies decides.
 *
 * Hashes do not cover ids. Where messages have ids of tool calls, a turn matches only if its calls have them, and messages
 * that the request referenced by their ids match only the turn that has them: an equal reply to an equal question is
 * another reply.
 */
const RULES: readonly Rule[] = [
  matchTranscript, // The messages start with the transcript of a turn, on the path or not: they continue that turn.
  matchMiddle, // They repeat turns from the middle of the path (a window, a client's own loop): the last of these.
  ({ messages, path }) => matchLastReply(messages, path.at(-1)), // They start with the head's reply: the head.
  matchCalls, // They start with calls or results of another turn than the head: that turn.
  matchEditedTranscript, // They contain a reply of the path, after messages that the session does not know: the root.
];

/** Finds the turn that messages continue in a session whose path to the head is `path`. */
export function findContinuation(
  messages: readonly Message[],
  path: readonly Turn[],
  index: TurnIndex,
  transcript: TranscriptReading = {},
): Continuation {
  const continued = { messages, path, index, ...transcript };
  for (const rule of RULES) {
    const found = rule(continued);
    if (found !== undefined) return found;
  }
  // All of them are new and continue the head, also replies that the client wrote itself (examples, a handover).
  return { at: path.at(-1)?.id, matchedCount: 0 };
}

/**
 * As `findContinuation`, for a call that names its parent, the last turn of `path`: leading messages are known only if they
 * repeat the transcript up to that turn, or a part of it.
 */
export function findContinuationOf(messages: readonly Message[], path: readonly Turn[]): Continuation {
  const head = path.at(-1)!;
  const index: TurnIndex = { listByHash: (chain) => (chain === head.chain ? [head] : []), listWithCalls: () => [] };
  const whole = findContinuation(messages, path, index);
  if (whole.at === head.id) return whole;
  const part = matchMiddle({ messages, path, index }) ?? matchLastReply(messages, head);
  return part?.at === head.id ? part : { at: head.id, matchedCount: 0 };
}

function matchTranscript({ messages, path, index, from, onTurn, prefer }: Continued): Continuation | undefined {
  const known = from === undefined ? 0 : from.count - from.replyAt;
  const before = (from?.replyAt ?? 0) + known;
  const prefix = findLongestKnownPrefix(
    messages.slice(known),
    createLookUp(path.at(-1), index, prefer),
    from?.hash,
    onTurn &&
      (({ match, count, replyAt, hash }) =>
        onTurn({ turn: match, count: before + count, replyAt: before + replyAt, hash })),
  );
  if (prefix !== undefined) return { at: prefix.match, matchedCount: known + prefix.count };
  return from && { at: from.turn, matchedCount: known };
}

/**
 * Finds the turn with a hash and a reply. Of several, one that continues the turn found before is preferred, if
 * ids of calls decided for that one, then the head, then the newest (a compaction has the hash of an older turn).
 */
function createLookUp(
  head: Turn | undefined,
  { listByHash }: TurnIndex,
  prefer?: TranscriptReading["prefer"],
): (chain: string, reply: readonly Message[]) => string | undefined {
  let before: string | undefined;
  return (chain, reply) => {
    const isReply = (turn: TurnCalls): boolean => isReplyOf(turn, reply);
    const known = head?.chain === chain && isReply(head) ? head : undefined;
    const all = isAfter(known, before) ? [known] : listByHash(chain);
    const matching = all.filter(isReply);
    const following = findFollowing(matching, before) ?? known;
    const preferred = following === undefined ? findPreferred(matching, prefer) : undefined;
    const found = following ?? preferred ?? matching[0];
    const isDecided = preferred !== undefined || matching.length < all.length;
    if (before !== undefined || isDecided) before = found?.id ?? before;
    return found?.id;
  };
}

/** Whether the turn, if there is one, continues the one found before, if one was. */
const isAfter = (turn: Turn | undefined, before: string | undefined): turn is Turn =>
  turn !== undefined && (before === undefined || turn.parent === before);

const findFollowing = (matching: readonly TurnCalls[], before: string | undefined): TurnCalls | undefined =>
  before === undefined ? undefined : matching.find(({ parent }) => parent === before);

/** Of several turns with one hash, the one that the caller means. */
const findPreferred = (matching: readonly TurnCalls[], prefer: TranscriptReading["prefer"]): TurnCalls | undefined =>
  matching.length > 1 && prefer !== undefined ? matching.find(({ id }) => prefer(id)) : undefined;

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

function matchMiddle({ messages, path, index }: Continued): Continuation | undefined {
  // A hash covers a whole turn, up to its reply: without a reply that is followed by a user's message none can match.
  if (path.length === 0 || !isAnswered(messages)) return undefined;
  const results = listToolIds(leadingMessages(messages, false), "tool_result");
  const first = findLongestKnownPrefix(messages, (own, reply) =>
    path.findLast(
      (turn, i) =>
        turn.own === own &&
        isReplyOf(turn, reply) &&
        areAnswersTo(path[findFirstStep(path, i) - 1]?.open ?? [], results),
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

/** Leading messages that repeat the head's reply, or only its tool calls, which clients send back with the results. */
function matchLastReply(messages: readonly Message[], head: Turn | undefined): Continuation | undefined {
  const end = messages.findIndex(({ role }) => role !== "assistant");
  if (head === undefined || end <= 0) return undefined;
  const leading = messages.slice(0, end);
  if (!isReplyOf(head, leading)) return undefined;
  const isCalls = listToolIds(leading, "tool_call").length > 0;
  return isCalls || hashAfter(ROOT, leading) === head.reply ? { at: head.id, matchedCount: end } : undefined;
}

function matchCalls({ messages, path, index }: Continued): Continuation | undefined {
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

/**
 * A reply of the path stands after a message of the client, and is answered: a transcript whose start was edited. Appended
 * to the head, that reply would be in the history twice.
 */
function matchEditedTranscript({ messages, path }: Continued): Continuation | undefined {
  if (path.length === 0 || messages[0]?.role === "assistant" || !isAnswered(messages)) return undefined;
  const replies = new Set(path.map(({ reply }) => reply));
  const hasKnownReply = listReplies(messages).some((run) => replies.has(hashAfter(ROOT, run)));
  return hasKnownReply ? { at: undefined, matchedCount: 0 } : undefined;
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
