import type { ParsedRequest } from "../../surfaces/request.ts";
import type { TurnInput } from "../../session/session.ts";

/** What a call says, as its session has to know it. */
export function turnInput({
  messages,
  systemCount: leading,
  instructions,
  rhone: { parent },
}: ParsedRequest): TurnInput {
  return {
    messages: messages.slice(leading),
    ...(instructions !== undefined && { instructions }),
    ...(parent !== undefined && { parent }),
  };
}
