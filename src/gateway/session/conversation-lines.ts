import { findCallState } from "../../session/calls.ts";
import { decodeInstructions } from "../../session/history/decode.ts";
import type { Instructions } from "../../session/session.ts";
import type { Turn } from "../../session/turns.ts";
import type { CallRecord } from "../../store/records.ts";
import { withPrefix } from "../../wire/id.ts";
import type { SessionState } from "./services.ts";

/** The lines of a conversation, as a call of the agent, or under these instructions, sees them. */
export class ConversationLines {
  readonly #state: SessionState;
  readonly #agent: string | undefined;
  readonly #instructions: string;
  readonly #isOfMain: boolean;

  constructor(state: SessionState, agent: string | undefined, instructions: string) {
    const { session } = state;
    this.#state = state;
    this.#agent = agent;
    this.#instructions = instructions;
    this.#isOfMain = agent === undefined && session.exists && this.#isAlike(readInstructions(session.instructions));
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

/** The text of instructions. */
export const readInstructions = (instructions: Instructions | undefined): string =>
  decodeInstructions(instructions)
    .flatMap(({ blocks }) => blocks.flatMap((block) => (block.kind === "text" ? [block.text] : [])))
    .join("\n\n");
