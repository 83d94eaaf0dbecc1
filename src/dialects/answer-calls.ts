import type { Block, Finish, Loss } from "../canonical/types.ts";
import { sha256 } from "../wire/hash.ts";

/** The provider left out the name, or the event that has it. */
export const NAMELESS_CALL: Loss = { at: "tool_calls", what: "dropped", why: "the provider's tool call has no name" };
export const NO_FINISH_REASON: Loss = {
  at: "finish_reason",
  what: "approximated",
  why: "the provider sent none that fits: it follows from the content",
};

/**
 * Ids for calls without one on the wire. They follow from position and name, so that what is decoded twice has the same
 * ids. `scope`: of an answer, the id of the gateway's call; it makes them unique within a session.
 */
export function createIdSource(scope: string): (name: string) => string {
  let count = 0;
  return (name) => `call_${sha256(`${scope}/${count++}/${name}`).slice(0, 22)}`;
}

/** A call as its wire has it: "" for what it has not. */
type CallMembers = { id: string; name: string; arguments: string };

/**
 * What holds for the calls of an answer on every wire: one without a name is left out, because no tool can be called by it
 * and providers refuse it in a history; one without an id gets one, as its result needs it.
 */
export class AnswerCalls {
  #hasLost = false;
  readonly #newId: (name: string) => string;

  /** `callId`: of the gateway's call. */
  constructor(callId = "") {
    this.#newId = createIdSource(callId);
  }

  /** The id of a complete call; undefined if it is left out. */
  identify(call: CallMembers): string | undefined {
    return this.accepts(call) ? call.id || this.#newId(call.name) : undefined;
  }

  /** Whether the call is not left out. That is a loss, unless the call has nothing at all. */
  accepts({ id, name, arguments: args }: CallMembers): boolean {
    if (name !== "") return true;
    this.#hasLost ||= id !== "" || args.trim() !== "";
    return false;
  }

  get losses(): Loss[] {
    return this.#hasLost ? [NAMELESS_CALL] : [];
  }

  /** The finish of an answer with these blocks: one that ends with calls has to have a call. */
  finish(finish: Finish, blocks: readonly Block[]): { finish: Finish; losses?: Loss[] } {
    const { losses } = this;
    if (losses.length === 0) return { finish };
    const isEmptied = finish.reason === "tool_calls" && blocks.every(({ kind }) => kind !== "tool_call");
    return isEmptied ? { finish: { reason: "stop" }, losses: [...losses, NO_FINISH_REASON] } : { finish, losses };
  }
}
