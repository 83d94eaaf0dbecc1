import { joinResults, pairResults } from "../canonical/tool-results.ts";
import type { Loss, Message, ToolResult } from "../canonical/types.ts";
import { decodeItems } from "../session/history/decode.ts";
import type { Context } from "../session/session.ts";
import type { PendingToolCall } from "../session/turns.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import type { Json } from "../wire/json.ts";

/** A request, and the context that it continues. */
export type Continued = { request: ParsedRequest; context: Context };

/**
 * The request with one result for every call of the reply before it: in the ids, the order and the items in which the
 * caller's wire has results of these calls. A client may have received the calls over another wire, and providers refuse a
 * result of another id, a second one, and a history without one. A call that the client leaves without a result gets the
 * stored one of the context or, as a loss of the context, a failed one. Items that need no change keep their bytes; `sent`
 * has the messages as they were.
 */
export function continueRequest(request: ParsedRequest, context: Context): Continued {
  const reply = context.history.at(-1);
  const pending = context.parent?.open ?? [];
  if (pending.length === 0 || reply === undefined) return { request, context };
  const from = request.systemCount + context.known;
  const fresh = request.messages.slice(from);
  const end = fresh.findIndex(({ role }) => role === "assistant");
  const answers = end < 0 ? fresh : fresh.slice(0, end);
  const calls = decodeItems(reply);
  const paired = pairResults([...calls, ...answers]).slice(calls.length);
  const unanswered = findUnanswered(pending, paired);
  if (unanswered.length === 0 && !paired.some(hasResult)) return { request, context };
  const stored = new Map(context.results?.map((result) => [result.id, result]));
  const blocks = unanswered.map((call) => stored.get(call.id) ?? toFailedResult(call));
  const added: Message[] = blocks.length === 0 ? [] : [{ role: "user", blocks }];
  const results = joinResults([...calls, ...added, ...paired]);
  const losses = [...(context.losses ?? []), ...unanswered.filter(({ id }) => !stored.has(id)).map(toLoss)];
  return {
    request: withResults(request, { from, answers, calls, results }),
    context: losses.length === 0 ? context : { ...context, losses },
  };
}

const hasResult = ({ blocks }: Message): boolean => blocks.some(({ kind }) => kind === "tool_result");

/** The pending calls that none of the results names. */
function findUnanswered(pending: readonly PendingToolCall[], answers: readonly Message[]): PendingToolCall[] {
  const answeredIds = new Set(
    answers.flatMap(({ blocks }) => blocks.flatMap((block) => (block.kind === "tool_result" ? [block.id] : []))),
  );
  return pending.filter(({ id, item }) => !answeredIds.has(id) && !(item !== undefined && answeredIds.has(item)));
}

/** The text is for the model, which sees the tool as failed. */
const toFailedResult = ({ id, name }: PendingToolCall): ToolResult => ({
  kind: "tool_result",
  id,
  name,
  content: [{ kind: "text", text: "The tool was not run: no result was given." }],
  isError: true,
});

const toLoss = ({ id }: PendingToolCall): Loss => ({
  at: "messages",
  what: "approximated",
  why: `tool call ${id} has no result: a failed result is sent for it`,
});

/** The request with `results` (which begin with the calls that they are encoded behind) in the place of `answers`. */
function withResults(
  parsed: ParsedRequest,
  { from, answers, calls, results }: { from: number } & Record<"answers" | "calls" | "results", readonly Message[]>,
): ParsedRequest {
  const { dialect } = parsed.surface;
  const encode = (messages: readonly Message[]): Json[] =>
    dialect.encodeMessages(messages, { dialect: dialect.id, model: "" }).value;
  // Encoded behind their calls, results have what these have.
  const items = encode(results).slice(encode(calls).length);
  const own = new Map(answers.map((message, i) => [message.native?.item, { message, text: parsed.items[from + i]! }]));
  const pairs = items.map(
    (item) => own.get(item) ?? { message: dialect.decodeMessages([item])[0]!, text: JSON.stringify(item) },
  );
  if (pairs.length === answers.length && pairs.every(({ message }, i) => message === answers[i])) return parsed;
  const replace = <T>(list: readonly T[], values: readonly T[]): T[] => [
    ...list.slice(0, from),
    ...values,
    ...list.slice(from + answers.length),
  ];
  const messages = replace(
    parsed.messages,
    pairs.map(({ message }) => message),
  );
  const texts = replace(
    parsed.items,
    pairs.map(({ text }) => text),
  );
  const before = parsed.request.messages.slice(0, parsed.request.messages.length - parsed.messages.length);
  const request = { ...parsed.request, messages: [...before, ...messages] };
  return parsed.with({ items: texts, messages, request, sent: parsed.messages });
}
