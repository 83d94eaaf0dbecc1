import type { SessionState } from "../../gateway/session/services.ts";
import { findCallState } from "../../session/calls.ts";
import type { CallRecord } from "../../store/records.ts";
import { lastTurnOf, type Run } from "../state/run.ts";

type Stored = Pick<SessionState, "session" | "sql">;

/** The conversation of the call that a run answers, where that has started and its client has one: its calls do not wait for one another. */
export const conversationOfRun = (
  { clientCall }: Pick<Run, "clientCall">,
  { sql }: Pick<Stored, "sql">,
): CallRecord["conversation"] =>
  clientCall === undefined ? undefined : findCallState(sql, clientCall)?.started.conversation;

/** Whether the last turn of a run that answers a call becomes the head: another call may have moved that meanwhile. */
export function movesHead(run: Run, { session, sql }: Stored): boolean {
  const conversation = conversationOfRun(run, { sql });
  if (conversation === undefined) return run.head === session.row.head;
  return conversation.isBeside !== true && session.isLatest(lastTurnOf(run)!);
}
