import { findCallState } from "../../session/calls.ts";
import { decodeInstructions } from "../../session/history/decode.ts";
import { inlineAll } from "../../session/large-strings.ts";
import type { Context, Instructions } from "../../session/session.ts";
import type { Turn } from "../../session/turns.ts";
import type { Conversation } from "../../surfaces/clients.ts";
import { withPrefix } from "../../wire/id.ts";
import { toCompletedTurn, toInputStep, toTurnInput } from "../call/turn-input.ts";
import { FoundPlaces, type Placement } from "./placement.ts";
import type { ResentRequest } from "./resent-request.ts";
import type { SessionState } from "./services.ts";

/**
 * The place of a call in the session of its conversation. Its client sends the whole transcript with each call: the request
 * goes to the provider as it is, and the turn stands where its transcript says, with what is new in it.
 *
 * The main conversation moves the head, also to a branch (an edited message, a rewind). A sub-agent never does: the turns of
 * an agent with an id, and those that begin under other instructions than the session's, are lines of their own beside it.
 */
export function placeInConversation(
  state: SessionState,
  resent: ResentRequest,
  { agent }: Pick<Conversation, "agent">,
): Placement {
  const { session, blobs } = state;
  const places = new FoundPlaces(state, resent);
  const input = toTurnInput(resent.request);
  let located: Context | undefined;
  return {
    place: async (_, started) => {
      const found = session.locate(input, places.reading);
      const isBeside = agent !== undefined || standsBeside(found.parent, input.instructions, state);
      located = { ...found, isBeside };
      const conversation = { ...started.conversation!, ...(isBeside && { isBeside }) };
      return {
        context: { ...located, known: 0 },
        started: { ...started, conversation },
        input: toInputStep(resent.request, located).input,
      };
    },
    restore: async () => {
      const path = located?.parent === undefined ? [] : session.pathOf(located.parent.id);
      const items = path.flatMap(({ input: requested, output }) => [requested, output]);
      return { request: resent.request, context: { ...located!, history: await inlineAll(items, blobs) } };
    },
    complete: (answer) => toCompletedTurn({ ...answer, request: resent.request, context: located! }),
    onCommitted: ({ id, parent }) => {
      places.remember();
      if (located?.isBeside !== true || parent !== undefined) return;
      session.change({}, "agent_started", {
        turn_id: id,
        ...(agent !== undefined && { agent }),
        ...(input.instructions && { instructions: readText(input.instructions) }),
      });
    },
  };
}

/** Whether a turn after `parent`, without an agent's id, stands beside the main conversation. */
function standsBeside(
  parent: Turn | undefined,
  instructions: Instructions | undefined,
  { session, sql }: SessionState,
): boolean {
  if (parent !== undefined)
    return findCallState(sql, withPrefix(parent.id, "call"))?.started.conversation?.isBeside === true;
  return session.row.head !== null && readText(instructions) !== readText(session.instructions);
}

/** The text of instructions, of which a session has one place and a sub-agent its own. */
const readText = (instructions: Instructions | undefined): string =>
  decodeInstructions(instructions)
    .flatMap(({ blocks }) => blocks.flatMap((block) => (block.kind === "text" ? [block.text] : [])))
    .join("\n\n");
