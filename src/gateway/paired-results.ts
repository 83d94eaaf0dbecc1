import { pairResults } from "../canonical/tool-results.ts";
import type { Message } from "../canonical/types.ts";
import { decodeItems } from "../session/history/decode.ts";
import type { Context } from "../session/session.ts";
import type { ParsedRequest } from "../surfaces/request.ts";

/** The reply before the request, whose calls wait for their results. */
export const readPendingReply = ({ history, added }: Context): readonly Message[] => {
  const reply = history.at(added === undefined ? -1 : -2);
  return reply === undefined ? [] : decodeItems(reply);
};

/**
 * The request in which results of restored calls have the ids of these calls on the caller's wire, or none where the calls
 * have none: a client may have received the calls over another wire, and providers refuse a result of another id.
 * Unchanged if all of them agree.
 */
export function pairWithHistory(parsed: ParsedRequest, context: Context): ParsedRequest {
  const from = parsed.systemCount + context.known;
  const fresh = parsed.messages.slice(from);
  const end = fresh.findIndex(({ role }) => role === "assistant");
  const answers = end < 0 ? fresh : fresh.slice(0, end);
  const hasResults = answers.some(({ blocks }) => blocks.some(({ kind }) => kind === "tool_result"));
  if (!hasResults || (context.parent?.open ?? []).length === 0) return parsed;
  const { dialect } = parsed.surface;
  const encode = (messages: readonly Message[]): unknown[] =>
    dialect.encodeMessages(messages, { dialect: dialect.id, model: "" }).value;
  const calls = readPendingReply(context);
  const callCount = encode(calls).length;
  const paired = pairResults([...calls, ...answers]).slice(calls.length);
  const items = [...parsed.items];
  const messages = [...parsed.messages];
  paired.forEach((message, i) => {
    const [item, ...others] = encode([...calls, message]).slice(callCount);
    if (item === undefined || others.length > 0 || item === message.native?.item) return;
    items[from + i] = JSON.stringify(item);
    messages[from + i] = dialect.decodeMessages([item as never])[0]!;
  });
  if (items.every((item, i) => item === parsed.items[i])) return parsed;
  const before = parsed.request.messages.slice(0, parsed.request.messages.length - parsed.messages.length);
  return { ...parsed, items, messages, request: { ...parsed.request, messages: [...before, ...messages] } };
}
