import type { TurnInput } from "../../session/session.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";

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
