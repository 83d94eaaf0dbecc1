import { pairResults } from "../canonical/tool-results.ts";
import type { Loss, Message, ToolResult } from "../canonical/types.ts";
import type { WireDialect } from "../dialects/dialect.ts";
import type { Context } from "../session/session.ts";
import type { PendingToolCall } from "../session/turns.ts";
import { joinItems } from "../wire/json.ts";

/**
 * The context of a call that goes on without the results of the tools that the model has asked for: providers refuse
 * such a history, and the session could never go on. Each open call is answered with an error in the client's place.
 * `messages`: what the call says.
 */
export function fillMissingResults(context: Context, messages: readonly Message[], dialect: WireDialect): Context {
  const open = context.parent?.open ?? [];
  if (open.length === 0) return context;
  const left = withoutResults(open, messages.slice(context.known));
  if (left.length === 0) return context;
  const { value } = dialect.encodeMessages([{ role: "user", blocks: left.map(noResult) }], {
    dialect: dialect.id,
    model: "",
  });
  const added = { dialect: dialect.id, items: joinItems(value) };
  const losses = left.map(({ id }): Loss => ({
    at: "messages",
    what: "approximated",
    why: `tool call ${id} has no result: it is answered as failed`,
  }));
  return { ...context, history: [...context.history, added], added, losses };
}

/** The calls that these messages do not answer, by id or, where the wire has none, by name and order. */
function withoutResults(open: readonly PendingToolCall[], messages: readonly Message[]): PendingToolCall[] {
  const request: Message = {
    role: "assistant",
    blocks: open.map(({ id, name }) => ({ kind: "tool_call", id, name, arguments: "{}" })),
  };
  const end = messages.findIndex(({ role }) => role === "assistant");
  const [, ...answers] = pairResults([request, ...(end < 0 ? messages : messages.slice(0, end))]);
  const answered = new Set(
    answers.flatMap(({ blocks }) => blocks.flatMap((block) => (block.kind === "tool_result" ? [block.id] : []))),
  );
  return open.filter(({ id, item }) => !answered.has(id) && !(item !== undefined && answered.has(item)));
}

const noResult = ({ id, name }: PendingToolCall): ToolResult => ({
  kind: "tool_result",
  id,
  name,
  content: [{ kind: "text", text: "The tool was not run: no result was given." }],
  isError: true,
});
