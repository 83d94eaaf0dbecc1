import { newId } from "../../wire/id.ts";
import type { Run, RunCheckpoint } from "./run.ts";

/** What can be sent to the webhooks of an organisation. */
export const NOTIFICATION_TYPES = [
  "run.waiting",
  "run.completed",
  "run.failed",
  "run.cancelled",
  "checkpoint.created",
] as const;
export type NotificationType = (typeof NOTIFICATION_TYPES)[number];

/**
 * A message to one webhook, until it has arrived or is given up. `message`: its id, the same for all webhooks and tries. `attempt`: tries
 * so far. `dueAt`: of the next one, in Unix milliseconds.
 */
export type Notification = {
  id: string;
  run: string;
  revision: number;
  status: "pending";
  webhook: string;
  message: string;
  payload: string;
  attempt: number;
  dueAt: number;
};

/** The new status of a run → what is sent of it; undefined: nothing. */
export function typeOfStatus(status: Run["status"]): NotificationType | undefined {
  if (status === "waiting_for_tool" || status === "waiting_for_approval") return "run.waiting";
  return NOTIFICATION_TYPES.find((type) => type === `run.${status}`);
}

/** What a message contains of a run. */
export const toRunPayload = ({ id, sessionId, status, stopReason }: Run): object => ({
  run_id: id,
  session_id: sessionId,
  status,
  ...(stopReason !== undefined && { stop_reason: stopReason }),
});

export const toCheckpointPayload = ({ id, run, kind, bound, expiresAt }: RunCheckpoint, sessionId: string): object => ({
  checkpoint_id: id,
  run_id: run,
  session_id: sessionId,
  kind,
  ...(bound.tool !== undefined && { [kind === "limit" ? "limit" : "tool"]: bound.tool }),
  expires_at: new Date(expiresAt).toISOString(),
});

/** One message for each of these webhooks. `data`: its member of that name. */
export function toNotifications(
  { type, data, run }: { type: NotificationType; data: object; run: string },
  webhooks: readonly string[],
  now: number,
): Notification[] {
  const message = newId("msg", now);
  const payload = JSON.stringify({ type, timestamp: new Date(now).toISOString(), data });
  return webhooks.map((webhook) => ({
    id: `${message}/${webhook}`,
    run,
    revision: 0,
    status: "pending",
    webhook,
    message,
    payload,
    attempt: 0,
    dueAt: now,
  }));
}
