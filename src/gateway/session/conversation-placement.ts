import type { Message } from "../../canonical/types.ts";
import { findCallState } from "../../session/calls.ts";
import { decodeInstructions, decodeItems } from "../../session/history/decode.ts";
import { inlineAll } from "../../session/large-strings.ts";
import type { Context, Instructions } from "../../session/session.ts";
import type { Turn } from "../../session/turns.ts";
import type { CallRecord } from "../../store/records.ts";
import type { Conversation } from "../../surfaces/clients.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { withPrefix } from "../../wire/id.ts";
import { cutText } from "../../wire/surrogates.ts";
import { toCompletedTurn, toInputStep, toTurnInput } from "../call/turn-input.ts";
import { FoundPlaces, type Placement, withStoredResults } from "./placement.ts";
import type { ResentRequest } from "./resent-request.ts";
import type { SessionState } from "./services.ts";

/** Of the instructions in an event. UTF-16 code units. */
const MAX_INSTRUCTIONS = 200_000;

/**
 * The place of a call in the session of its conversation. Its client sends the whole transcript with each call: the request
 * (`whole`) goes to the provider as it is, and the turn stands where its transcript says, with what is new in it.
 *
 * The main conversation moves the head, also to a branch (an edited message, a rewind). The calls of a sub-agent, and those
 * under other instructions than the session's, are lines of their own beside it.
 */
export function placeInConversation(
  state: SessionState,
  resent: ResentRequest,
  { whole, agent }: { whole: ParsedRequest } & Pick<Conversation, "agent">,
): Placement {
  const { session, blobs } = state;
  const places = new FoundPlaces(state, resent);
  const input = toTurnInput(resent.request);
  const lines = new Lines(state, agent, readText(input.instructions));
  let located: Context | undefined;
  let startsLine = false;
  return {
    findParent: () => session.locate(input).parent,
    place: async (_, started) => {
      const found = session.locate(input, { ...places.reading, prefer: (turn) => lines.includes(turn) });
      const isBeside = lines.isBeside(found.parent);
      startsLine = isBeside && !lines.includes(found.parent?.id);
      located = { ...found, isBeside };
      const conversation = { ...started.conversation!, ...(isBeside && { isBeside }) };
      return {
        context: { ...located, known: 0 },
        started: { ...started, conversation },
        input: toInputStep(resent.request, located).input,
      };
    },
    restore: async () => {
      const asSent = { request: whole, context: { ...located!, known: 0 } };
      if (located?.parent === undefined) return asSent;
      const path = session.pathOf(located.parent.id);
      const history = await inlineAll(
        path.flatMap(({ input: requested, output }) => [requested, output]),
        blobs,
      );
      const sent = whole.messages.slice(whole.systemCount);
      const held = history.flatMap(decodeItems);
      // Hashes do not cover everything that a transcript may say, and a session may have been compacted.
      if (!saySame(sent.slice(0, held.length), held)) return asSent;
      return { request: resent.request, context: withStoredResults({ ...located, history }, state) };
    },
    complete: (answer) => toCompletedTurn({ ...answer, request: resent.request, context: located! }),
    onCommitted: ({ id }) => {
      places.remember();
      if (!startsLine) return;
      session.change({}, "agent_started", {
        turn_id: id,
        ...(agent !== undefined && { agent }),
        ...(input.instructions && { instructions: cutText(readText(input.instructions), MAX_INSTRUCTIONS) }),
      });
    },
  };
}

/** The lines of a conversation, as a call of the agent, or under these instructions, sees them. */
class Lines {
  readonly #state: SessionState;
  readonly #agent: string | undefined;
  readonly #instructions: string;
  readonly #isOfMain: boolean;

  constructor(state: SessionState, agent: string | undefined, instructions: string) {
    const { session } = state;
    this.#state = state;
    this.#agent = agent;
    this.#instructions = instructions;
    this.#isOfMain = agent === undefined && session.exists && this.#isAlike(readText(session.instructions));
  }

  /** Whether the call stands beside the main conversation if it continues `parent`. */
  isBeside(parent: Turn | undefined): boolean {
    const { head } = this.#state.session;
    if (this.#agent !== undefined) return true;
    if (head === undefined || this.#isOfMain) return false;
    if (parent === undefined) return true;
    // Until the main conversation was continued, it is not known which line it is: a client may ask for a title first.
    return this.#lineOf(parent.id)?.isBeside === true && head.depth > 1;
  }

  /** Whether a turn is of the call's own line. */
  includes(turn: string | undefined): boolean {
    if (turn === undefined) return false;
    const line = this.#lineOf(turn);
    if (line?.agent !== this.#agent) return false;
    return this.#agent !== undefined || (line?.isBeside !== true) === this.#isOfMain;
  }

  #lineOf(turn: string): CallRecord["conversation"] {
    return findCallState(this.#state.sql, withPrefix(turn, "call"))?.started.conversation;
  }

  /** Whether instructions are the same but for a few lines, such as one with the date. */
  #isAlike(others: string): boolean {
    if (this.#instructions === others) return true;
    const own = new Set(this.#instructions.split("\n"));
    const other = new Set(others.split("\n"));
    const shared = [...own].filter((line) => other.has(line)).length;
    return shared >= SHARE * Math.max(own.size, other.size);
  }
}

/** Of lines in common. */
const SHARE = 0.8;

const readText = (instructions: Instructions | undefined): string =>
  decodeInstructions(instructions)
    .flatMap(({ blocks }) => blocks.flatMap((block) => (block.kind === "text" ? [block.text] : [])))
    .join("\n\n");

/** Whether the client's messages among these are the same, but for what their items are beside their content. */
function saySame(sent: readonly Message[], held: readonly Message[]): boolean {
  const [own, other] = [sent, held].map((all) => all.filter(({ role }) => role !== "assistant").map(toContent));
  return own!.length === other!.length && own!.every((content, i) => content === other![i]);
}

const toContent = ({ role, blocks }: Message): string =>
  JSON.stringify([role, blocks], (key, value: unknown) => (BESIDE_CONTENT.has(key) ? undefined : value));

const BESIDE_CONTENT = new Set(["native", "cache", "unshared", "isIdAssigned"]);
