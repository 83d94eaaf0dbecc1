import { joinResults, pairResults } from "../canonical/tool-results.ts";
import type { Message } from "../canonical/types.ts";
import { decodeItems } from "../session/history/decode.ts";
import type { Context } from "../session/session.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import type { Json } from "../wire/json.ts";

/**
 * The request with one result for every call of the reply before it: with those that the context adds, and in the ids, the
 * order and the items in which the caller's wire has results of these calls. A client may have received the calls over
 * another wire, and providers refuse a result of another id. Items that need no change keep their bytes; `sent` has the
 * messages as they were.
 */
export function pairWithHistory(parsed: ParsedRequest, context: Context): ParsedRequest {
  const { parent, history, known, added = [] } = context;
  const from = parsed.systemCount + known;
  const fresh = parsed.messages.slice(from);
  const end = fresh.findIndex(({ role }) => role === "assistant");
  const answers = end < 0 ? fresh : fresh.slice(0, end);
  const hasResults = answers.some(({ blocks }) => blocks.some(({ kind }) => kind === "tool_result"));
  const reply = history.at(-1);
  if ((parent?.open ?? []).length === 0 || reply === undefined || !(hasResults || added.length > 0)) return parsed;
  const { dialect } = parsed.surface;
  const encode = (messages: readonly Message[]): Json[] =>
    dialect.encodeMessages(messages, { dialect: dialect.id, model: "" }).value;
  const calls = decodeItems(reply);
  // Encoded behind their calls, results have what these have.
  const items = encode(joinResults(pairResults([...calls, ...added, ...answers]))).slice(encode(calls).length);
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
  return { ...parsed, items: texts, messages, request, sent: parsed.messages };
}
