import type { CallStart } from "../../session/calls.ts";
import type { Checkpoint, TranscriptReading } from "../../session/continuation.ts";
import { inlineAll } from "../../session/large-strings.ts";
import type { CompletedTurn, Context, TurnInput } from "../../session/session.ts";
import type { Turn, WireItems } from "../../session/turns.ts";
import type { CallStore, CommittedAnswer } from "../call/call.ts";
import type { ResponsesState } from "../call/responses-state.ts";
import { toCompletedTurn, toTurnInput } from "../call/turn-input.ts";
import { findContext } from "../responses/state.ts";
import type { ResentRequest } from "./resent-request.ts";
import type { SessionState } from "./services.ts";

/**
 * A call's context, and its start as the session stores it. `input`: that of the turn, where the request has more than is
 * new in its session.
 */
export type Placed = { context: Context; started: CallStart; input?: WireItems };

/** How a call finds its place in its session when it starts, and which turn it becomes there. */
export type Placement = {
  /** The turn that the call would continue now. Throws as `place` does. */
  findParent: () => Turn | undefined;
  place: (input: () => TurnInput, started: CallStart) => Promise<Placed>;
  complete: (answer: CommittedAnswer) => CompletedTurn;
  /** As in `CallStore`, after `place`. */
  restore?: CallStore["restore"];
  /** The turn has been committed. */
  onCommitted: (turn: Turn) => void;
};

/** The places of a transcript that were found with a call, for the next call with the same beginning. */
export class FoundPlaces {
  readonly #state: SessionState;
  readonly #resent: ResentRequest;
  readonly #checkpoints: Checkpoint[] = [];

  constructor(state: SessionState, resent: ResentRequest) {
    this.#state = state;
    this.#resent = resent;
  }

  get reading(): TranscriptReading {
    const onTurn = (checkpoint: Checkpoint): void => void this.#checkpoints.push(checkpoint);
    return { from: this.#resent.recalled?.checkpoints.at(-1), onTurn };
  }

  remember(): void {
    const { sent, recalled, request } = this.#resent;
    const checkpoints = [...(recalled?.checkpoints ?? []), ...this.#checkpoints];
    if (sent !== undefined && request.isUnchanged && checkpoints.length > 0)
      this.#state.session.transcripts.remember(sent, { systemCount: request.systemCount, checkpoints });
  }
}

/**
 * The place of a call that continues its session: it gets the history, and adds what the session does not hold.
 * `isSideBranch`: another call is running, and the head stays where that one moves it.
 */
export function continueSession(
  state: SessionState,
  resent: ResentRequest,
  { response, isSideBranch }: { response: ResponsesState | undefined; isSideBranch: boolean },
): Placement {
  const { session, sql, blobs } = state;
  const places = new FoundPlaces(state, resent);
  const known = { session, response, sql };
  return {
    findParent: () => findContext(toTurnInput(resent.request), known).parent,
    place: async (input, started) => {
      const continued = findContext(input(), known, places.reading);
      const history = await inlineAll(continued.history, blobs);
      const context = { ...withStoredResults(continued, state), history };
      return { context: { ...context, ...(isSideBranch && { isBeside: true }) }, started };
    },
    complete: toCompletedTurn,
    onCommitted: () => places.remember(),
  };
}

/** The context with the stored results of its parent's calls. */
export function withStoredResults(context: Context, { resultsFor }: Pick<SessionState, "resultsFor">): Context {
  const { parent } = context;
  const results = parent === undefined || parent.open.length === 0 ? [] : resultsFor(parent);
  return results.length === 0 ? context : { ...context, results };
}
