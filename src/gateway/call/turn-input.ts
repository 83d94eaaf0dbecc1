import type { CompletedTurn, Context, TurnInput } from "../../session/session.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import type { CommittedAnswer } from "./call.ts";

/**
 * What a request adds to its session: the messages after its system messages, instructions, the parent turn if named.
 */
export function toTurnInput({ messages, systemCount, instructions, rhone: { parent } }: ParsedRequest): TurnInput {
  return {
    messages: messages.slice(systemCount),
    ...(instructions !== undefined && { instructions }),
    ...(parent !== undefined && { parent }),
  };
}

/** The client's half of a turn: the items, messages and instructions that are new in the request. */
export function toInputStep(request: ParsedRequest, context: Context): Omit<CompletedTurn, "output" | "reply"> {
  const from = request.systemCount + context.known;
  const input = { dialect: request.surface.dialect.id, items: request.items.slice(from).join(",") };
  const step = { context, input, requested: (request.sent ?? request.messages).slice(from) };
  // If only a part of the instructions is new, the other part comes from the context.
  const instructions = request.instructions && { ...context.instructions, ...request.instructions };
  return instructions === undefined ? step : { ...step, instructions };
}

/** The turn that an answer adds to its session. */
export const toCompletedTurn = ({ request, context, output, response }: CommittedAnswer): CompletedTurn => ({
  ...toInputStep(request, context),
  output,
  reply: response.messages,
});
