import { hashTurn, ROOT, type TurnHashes } from "../canonical/turn-hash.ts";
import type { Loss, Message, ToolCall, ToolResult } from "../canonical/types.ts";
import type { CallRecord } from "../store/records.ts";
import { withPrefix } from "../wire/id.ts";
import type { Instructions } from "./row.ts";
import { listPendingCalls, type Turn, type WireItems } from "./turns.ts";

/** The part of a call's request that decides where in the session it continues. */
export type TurnInput = {
  /** Without the leading system messages; one message for each wire item. */
  messages: readonly Message[];
  instructions?: Instructions;
  /** The id of a turn or call to continue from instead of the head; the session's own id for its root. */
  parent?: string;
  /**
   * The request continues a stored response, whose `instructions` do not apply to it (OpenAI API reference, Responses:
   * `instructions` with `previous_response_id`).
   */
  isChained?: true;
};

/** The history that precedes a call, and the turn that the call continues. */
export type Context = {
  parent: Turn | undefined;
  history: readonly WireItems[];
  /** The session's instructions; absent when the call brings its own. */
  instructions?: Instructions;
  /** How many of the call's leading messages the history already holds. */
  known: number;
  /** The turn does not move the head: another call is running on it (`on_busy: "branch"`), or it is of a sub-agent. */
  isBeside?: boolean;
  /** Stored results of the parent's calls, for those that the request has none for. */
  results?: readonly ToolResult[];
  losses?: readonly Loss[];
};

/** The context that a call would get. `omitted`: the indices of its messages that it leaves out, as the history has them. */
export type PreviewedContext = Context & { omitted?: number[] };

/**
 * A finished call, as it becomes a turn. `requested`: the request's new messages; `reply`: those of the answer; the turn
 * hashes cover both. `as`: what differs from that for a step of a run whose client sees one answer to one request: an
 * intermediate step is a `step`, and the last turn has the id of the client's call and the hashes of what the client sees, who does
 * not see the calls that are `isHidden`.
 */
export type CompletedTurn = {
  context: Context;
  input: WireItems;
  output: WireItems & { issuer: string };
  requested: readonly Message[];
  reply: readonly Message[];
  instructions?: Instructions;
  as?: Partial<Pick<Turn, "id" | "kind"> & { hashes: TurnHashes; isHidden: (call: ToolCall) => boolean }>;
};

/** The turn that a completed call becomes. */
export function toTurn(record: Pick<CallRecord, "id" | "endedAt">, completed: CompletedTurn): Turn {
  const { context, requested, reply, as = {} } = completed;
  const { parent } = context;
  return {
    id: as.id ?? withPrefix(record.id, "turn"),
    parent: parent?.id,
    kind: as.kind ?? "call",
    depth: (parent?.depth ?? 0) + 1,
    ...(as.hashes ?? hashTurn(parent?.chain ?? ROOT, requested, reply)),
    open: listPendingCalls(reply, as.isHidden),
    input: completed.input,
    output: completed.output,
    createdAt: record.endedAt,
  };
}
