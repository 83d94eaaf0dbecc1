import {
  type Components,
  describe,
  integer,
  literal,
  nullable,
  object,
  oneOf,
  openObject,
  ref,
  text,
  time,
  union,
  flag,
} from "../json-schema.ts";

/** What the gateway sends on a WebSocket. The frames of clients are the schemas that check them. docs/websocket.md. */
export const frameSchemas = (): Components => ({
  SocketServerFrame: union("type", {
    "session.bound": "SessionBoundFrame",
    ...CALL_FRAMES,
    ...Object.fromEntries(RUN_EVENTS.map((type) => [type, "RunEventFrame"])),
    "session.event": "SessionEventFrame",
    error: "ErrorFrame",
    ping: "PingFrame",
    pong: "PongFrame",
  }),
  SessionBoundFrame: object({
    type: literal("session.bound"),
    "id?": text,
    session_id: text,
    event_id: describe(integer, "Of the session's newest event."),
    replay: describe(
      oneOf("full", "partial", "none"),
      "full: nothing is missing. partial: some events are no longer stored. none: there is nothing to replay.",
    ),
  }),
  // The frames about calls, as a `session.event` contains them.
  SessionEvent: union(
    "type",
    { ...CALL_FRAMES, ...Object.fromEntries(RUN_EVENTS.map((type) => [type, "RunEventFrame"])) },
    "What happens to a call or to a run.",
  ),
  RunEventFrame: {
    ...object({
      type: oneOf(...RUN_EVENTS),
      run_id: text,
      run_event_id: describe(integer, "Of the run's own stream."),
      "event_id?": integer,
      "id?": describe(text, "The id of the client's run.create."),
    }),
    additionalProperties: true,
    description: "An event of a run, with its members.",
  },
  CallStartedFrame: ofCall("call.started", { surface: text, model: text, stream: flag, created_at: time }),
  // One event of a stream, or the whole answer of a call that does not stream.
  CallEventFrame: ofCall("call.event", {
    event: describe(openObject, "An event in the format of the call's surface, or the whole answer."),
  }),
  CallCompletedFrame: ofCall("call.completed", {
    "turn_id?": text,
    "model?": text,
    "provider?": text,
    "finish_reason?": text,
    usage: ref("Usage"),
    "cost_micros_usd?": integer,
  }),
  // `error` is null where the surface's error could not be read.
  CallFailedFrame: ofCall("call.failed", {
    "status?": text,
    http_status: integer,
    "retry_after_s?": describe({ type: "number" }, "Seconds."),
    error: describe(nullable(openObject), "In the format of the call's surface."),
  }),
  SessionEventFrame: object(
    { type: literal("session.event"), event_id: integer, event: ref("SessionEvent") },
    "An event of a call that this connection did not make, or a replayed one.",
  ),
  ErrorFrame: object(
    {
      type: literal("error"),
      "id?": text,
      http_status: integer,
      "retry_after_s?": describe({ type: "number" }, "Seconds."),
      error: ref("ErrorDetail"),
    },
    "A frame of the client was invalid or refused; the connection stays open.",
  ),
  // The only frame of OpenAI's WebSocket mode; the gateway answers with a stream's events.
  ResponseCreateFrame: {
    ...object({ type: literal("response.create"), "stream_id?": nullable(text) }),
    description: "OpenAI's WebSocket mode: the members of a Responses request beside the type.",
  },
});

const CALL_FRAMES = {
  "call.started": "CallStartedFrame",
  "call.event": "CallEventFrame",
  "call.completed": "CallCompletedFrame",
  "call.failed": "CallFailedFrame",
};

/** The events of runs (docs/runs.md). */
const RUN_EVENTS = [
  "run.started",
  "step.started",
  "response.delta",
  "thinking.delta",
  "tool_call.started",
  "tool_call.delta",
  "tool_call.done",
  "tool_execution.started",
  "tool_execution.completed",
  "tool.call",
  "checkpoint.created",
  "checkpoint.resolved",
  "step.completed",
  "run.waiting",
  "run.interrupted",
  "run.completed",
  "run.failed",
  "run.cancelled",
];

/** A frame about a call. `id` and `event_id` are absent where a `session.event` surrounds it. */
function ofCall(type: string, members: Components): Components[string] {
  return object({
    type: literal(type),
    call_id: text,
    ...members,
    "event_id?": integer,
    "id?": describe(text, "The id of the client's call.create."),
  });
}
