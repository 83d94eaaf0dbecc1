import { pairResults } from "../canonical/tool-results.ts";
import type { Loss, Message, ToolResult } from "../canonical/types.ts";
import type { Context } from "../session/session.ts";
import type { PendingToolCall } from "../session/turns.ts";

/**
 * Adds a failed result for each tool call that the client leaves without one: providers refuse such a history, and the
 * session could not continue. `messages`: those of the request. Each added result is a loss.
 */
export function fillMissingResults(context: Context, messages: readonly Message[]): Context {
  const pending = context.parent?.open ?? [];
  if (pending.length === 0) return context;
  const unanswered = findUnanswered(pending, messages.slice(context.known));
  if (unanswered.length === 0) return context;
  const losses = unanswered.map(({ id }): Loss => ({
    at: "messages",
    what: "approximated",
    why: `tool call ${id} has no result: a failed result is sent for it`,
  }));
  return { ...context, added: [{ role: "user", blocks: unanswered.map(toFailedResult) }], losses };
}

/**
 * The pending calls without a result in the messages up to the next assistant message. Results are matched by id or, in
 * dialects without ids, by name and order.
 */
function findUnanswered(pending: readonly PendingToolCall[], messages: readonly Message[]): PendingToolCall[] {
  const request: Message = {
    role: "assistant",
    blocks: pending.map(({ id, name }) => ({ kind: "tool_call", id, name, arguments: "{}" })),
  };
  const end = messages.findIndex(({ role }) => role === "assistant");
  const [, ...answers] = pairResults([request, ...(end < 0 ? messages : messages.slice(0, end))]);
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
