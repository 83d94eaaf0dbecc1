import type { Message } from "../../canonical/types.ts";
import { type CallStart, findCallState } from "../../session/calls.ts";
import type { TranscriptReading } from "../../session/continuation.ts";
import { decodeItems } from "../../session/history/decode.ts";
import { inline, inlineAll } from "../../session/large-strings.ts";
import type { Context, TurnInput } from "../../session/session.ts";
import type { Turn, WireItems } from "../../session/turns.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { withPrefix } from "../../wire/id.ts";
import { cutText } from "../../wire/surrogates.ts";
import { toCompletedTurn, toInputStep, toTurnInput } from "../call/turn-input.ts";
import { continueRequest } from "../continued-request.ts";
import { ConversationLines, readInstructions } from "./conversation-lines.ts";
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
  { whole, agent }: { whole: ParsedRequest; agent: string | undefined },
): Placement {
  const place = new PlaceInConversation(state, resent, agent);
  let located: Context | undefined;
  let stored = resent.request;
  return {
    findParent: () => place.findParent(),
    place: async (_, started) => {
      const found = place.find(started);
      located = found.context;
      stored = await answerHiddenCalls(state, located, stored);
      return { ...found, context: { ...located, known: 0 }, input: toInputStep(stored, located).input };
    },
    restore: async () => {
      const history = await readHistory(state, located!, resent.request, whole);
      return history === undefined
        ? { request: whole, context: { ...located!, known: 0 } }
        : { request: resent.request, context: withStoredResults({ ...located!, history }, state) };
    },
    complete: (answer) => toCompletedTurn({ ...answer, request: stored, context: located! }),
    onCommitted: (turn) => place.onCommitted(turn),
  };
}

/**
 * The same for a call that a run answers: its model gets the history as the session has it, with the calls that its client
 * was not shown. A transcript that says something else starts at the root.
 */
export function continueConversation(
  state: SessionState,
  request: ParsedRequest,
  agent: string | undefined,
): Placement {
  const place = new PlaceInConversation(state, { request }, agent);
  return {
    findParent: () => place.findParent(),
    place: async (_, given) => {
      const { context, started } = place.find(given);
      const history = await readHistory(state, context, request, request);
      if (history === undefined) return { context: { ...context, parent: undefined, known: 0 }, started };
      return { context: withStoredResults({ ...context, history }, state), started };
    },
    complete: toCompletedTurn,
    onCommitted: (turn) => place.onCommitted(turn),
  };
}

/** Where the transcript of one call stands among the lines of its conversation. */
class PlaceInConversation {
  readonly #state: SessionState;
  readonly #agent: string | undefined;
  readonly #places: FoundPlaces;
  readonly #input: TurnInput;
  readonly #lines: ConversationLines;
  #startsLine = false;

  constructor(state: SessionState, resent: ResentRequest, agent: string | undefined) {
    this.#state = state;
    this.#agent = agent;
    this.#places = new FoundPlaces(state, resent);
    this.#input = toTurnInput(resent.request);
    this.#lines = new ConversationLines(state, agent, readInstructions(this.#input.instructions));
  }

  /** As in `Placement`. */
  findParent(): Turn | undefined {
    return this.#locate({ from: this.#places.reading.from }).parent;
  }

  #locate(reading: TranscriptReading): Context {
    return this.#state.session.locate(this.#input, { ...reading, prefer: (turn) => this.#lines.includes(turn) });
  }

  /** The call's context, without the history, and its start. */
  find(started: CallStart): { context: Context; started: CallStart } {
    const found = this.#locate(this.#places.reading);
    const isBeside = this.#lines.isBeside(found.parent);
    this.#startsLine = isBeside && !this.#lines.includes(found.parent?.id);
    const conversation = { ...started.conversation!, ...(isBeside && { isBeside }) };
    return { context: { ...found, isBeside }, started: { ...started, conversation } };
  }

  /** As in `Placement`. */
  onCommitted({ id }: Turn): void {
    this.#places.remember();
    if (!this.#startsLine) return;
    const { instructions } = this.#input;
    this.#state.session.change({}, "agent_started", {
      turn_id: id,
      ...(this.#agent !== undefined && { agent: this.#agent }),
      ...(instructions && { instructions: cutText(readInstructions(instructions), MAX_INSTRUCTIONS) }),
    });
  }
}

/**
 * The request with a result for each call of the reply before it, if that is of a run: its client was not shown all of them, and
 * a history without their results is refused.
 */
async function answerHiddenCalls(
  state: SessionState,
  context: Context,
  request: ParsedRequest,
): Promise<ParsedRequest> {
  const { parent } = context;
  if (parent === undefined || parent.open.length === 0) return request;
  const call = findCallState(state.sql, withPrefix(parent.origin ?? parent.id, "call"));
  if (call?.started.runId === undefined) return request;
  const history = [await inline(parent.output, state.blobs)];
  return continueRequest(request, withStoredResults({ ...context, history }, state)).request;
}

/**
 * The history up to the turn that a call continues, as the session has it; `undefined` if the call's transcript (`whole`) says
 * something else: hashes do not cover everything that one may say, and a session may have been compacted. `request`: of which
 * the context knows so many messages.
 */
async function readHistory(
  { session, blobs }: SessionState,
  { parent, known }: Context,
  request: ParsedRequest,
  whole: ParsedRequest,
): Promise<readonly WireItems[] | undefined> {
  if (parent === undefined) return [];
  const path = session.pathOf(parent.id);
  const history = await inlineAll(
    path.flatMap(({ input, output }) => [input, output]),
    blobs,
  );
  const isAdded = (i: number): boolean => i % 2 === 0 && path[i / 2 - 1]?.kind === "step";
  const held = history.flatMap((items, i) => (isAdded(i) ? [] : decodeItems(items)));
  const newCount = request.messages.length - request.systemCount - known;
  const sent = whole.messages.slice(whole.systemCount, whole.messages.length - newCount);
  const { approvals } = whole.surface.dialect.serverTools ?? {};
  const decides = (message: Message): boolean => approvals !== undefined && approvals.read([message]).length > 0;
  return saySame(sent, held, decides) ? history : undefined;
}

/**
 * Whether the client's messages among these are the same, but for what their items are beside their content. Results of tools
 * are left out, as their hashes have matched and the client was not shown those of the gateway's tools, and so are decisions
 * about calls, which are not history once they are made.
 */
function saySame(sent: readonly Message[], held: readonly Message[], decides: (message: Message) => boolean): boolean {
  const [own, other] = [sent, held].map((all) => all.filter((one) => !decides(one)).flatMap(toContents));
  return own!.length === other!.length && own!.every((content, i) => content === other![i]);
}

const toContents = ({ role, blocks }: Message): string[] =>
  role === "assistant"
    ? []
    : blocks.flatMap((block) => (block.kind === "tool_result" ? [] : [JSON.stringify([role, block], withoutExtras)]));

const withoutExtras = (key: string, value: unknown): unknown => (BESIDE_CONTENT.has(key) ? undefined : value);

const BESIDE_CONTENT = new Set(["native", "cache", "unshared"]);
