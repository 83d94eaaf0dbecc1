import {
  arrayOf,
  type Components,
  describe,
  flag,
  integer,
  literal,
  number,
  object,
  oneOf,
  ref,
  text,
  time,
  union,
} from "../json-schema.ts";

/** The answers of `POST /v1/calls`, and the `rhone` object in the answers of every surface. docs/native.md. */
export const nativeSchemas = (): Components => ({
  // The generator spreads the kinds of a block among the other alternatives; this names them as one.
  BlockInput: { anyOf: [text, arrayOf(ref("Block")), ref("Block")] },
  CallResponse: object({
    call: ref("CallSummary"),
    output: arrayOf(ref("Block")),
    usage: ref("Usage"),
    "rhone?": ref("RhoneResult"),
  }),
  // The call in an answer. Only the gateway's own reply has a run, a session and a turn.
  CallSummary: object(
    {
      id: text,
      object: literal("call"),
      "run_id?": text,
      "session_id?": text,
      "turn_id?": text,
      status: oneOf("running", "completed", "failed"),
      "finish_reason?": FINISH_REASON,
      "stop_sequence?": text,
      "model?": text,
      created_at: time,
    },
    "The call as far as it is known when the answer is sent; GET /v1/calls/{id} has all of it.",
  ),
  // The `rhone` object: in whole answers, and in the first and last events of a stream.
  RhoneResult: object(
    {
      session_id: text,
      turn_id: text,
      call_id: text,
      run_id: text,
      context: ref("ContextResult"),
      routing: ref("RoutingResult"),
      "cost_micros_usd?": integer,
      "losses?": arrayOf(ref("Loss")),
      latency_ms: ref("FirstByteLatency"),
    },
    "What the gateway adds to an answer: where the call belongs and what became of it.",
  ),
  ContextResult: object({
    mode: oneOf("stateful", "stateless"),
    turns: describe(integer, "How many turns of the session the model was given."),
    "client?": describe(text, "The client that named its conversation."),
    "recognized_by?": describe(text, "The header or member with the conversation's id."),
    "agent?": describe(text, "The sub-agent that made the call."),
  }),
  // How the call was routed. `attempts` counts the failed ones as well.
  RoutingResult: object({
    "model?": text,
    "provider?": text,
    attempts: integer,
    "rescued?": ref("StreamRecovery"),
    "wasted_cost_micros_usd?": describe(integer, "The cost of attempts whose answer is not the call's."),
  }),
  StreamRecovery: object(
    { from: text, after_chars: integer, how: oneOf("restart", "continuation") },
    "The stream broke off at one target and was continued by another.",
  ),
  FirstByteLatency: object({ gateway: number, "upstream_first_byte?": number }, "Milliseconds."),
  Loss: object(
    { at: text, what: oneOf("dropped", "approximated"), why: text },
    "A member or block that the target cannot represent.",
  ),
  // The events of a native stream, distinguished by `type`. The encoder is dialects/native/stream.ts.
  CallStreamEvent: union("type", {
    "call.started": "CallStartedEvent",
    "response.delta": "ResponseDeltaEvent",
    "thinking.delta": "ThinkingDeltaEvent",
    "tool_call.started": "ToolCallStartedEvent",
    "tool_call.delta": "ToolCallDeltaEvent",
    "tool_call.done": "ToolCallDoneEvent",
    "call.completed": "CallCompletedEvent",
    "call.failed": "CallFailedEvent",
  }),
  CallStartedEvent: event("call.started", { call: ref("CallSummary"), "rhone?": ref("RhoneResult") }),
  ResponseDeltaEvent: event("response.delta", { index: INDEX, text, "refusal?": literal(true) }),
  ThinkingDeltaEvent: event("thinking.delta", { index: INDEX, text }),
  ToolCallStartedEvent: event("tool_call.started", { index: INDEX, id: text, name: text }),
  ToolCallDeltaEvent: event("tool_call.delta", {
    index: INDEX,
    arguments: describe(text, "The next part of the JSON text."),
  }),
  ToolCallDoneEvent: event("tool_call.done", { index: INDEX, block: ref("ToolCallBlock") }),
  CallCompletedEvent: event("call.completed", {
    call: ref("CallSummary"),
    output: describe(arrayOf(ref("Block")), "All blocks, those without deltas included."),
    usage: ref("Usage"),
    "rhone?": ref("RhoneResult"),
  }),
  // Always the last event, as CallCompletedEvent is.
  CallFailedEvent: event("call.failed", {
    call: ref("CallSummary"),
    error: ref("ErrorDetail"),
    "rhone?": ref("RhoneResult"),
  }),
  // Counts are in tokens, except `searches`.
  Usage: object(
    {
      "fresh?": integer,
      "cache_read?": integer,
      "cache_write?": integer,
      "output?": integer,
      "reasoning?": integer,
      "input_audio?": integer,
      "output_audio?": integer,
      "cache_write_1h?": integer,
      "searches?": integer,
      "native?": describe({}, "The provider's own counts."),
    },
    "Disjoint token counts, except that reasoning and output_audio are part of output, input_audio of fresh and cache_write_1h of cache_write. Absent: the provider did not report it.",
  ),
  // The record of a call, as sessions/calls.ts writes it: snake_case, unknown members absent.
  Call: object({
    id: text,
    object: literal("call"),
    run_id: text,
    session_id: text,
    "turn_id?": text,
    key_id: text,
    surface: text,
    "stream?": flag,
    "context_mode?": oneOf("stateful", "stateless"),
    status: CALL_STATUS,
    "stop_reason?": STOP_REASON,
    "finish_reason?": FINISH_REASON,
    model_asked: text,
    "model?": text,
    "provider?": text,
    "usage?": ref("Usage"),
    "cost_micros_usd?": integer,
    "wasted_cost_micros_usd?": describe(
      integer,
      "The cost of attempts whose answer is not the call's; not part of cost_micros_usd. Absent: unknown.",
    ),
    "latency_ms?": ref("CallLatency"),
    "attempts?": arrayOf(ref("CallAttempt")),
    "losses?": arrayOf(ref("Loss")),
    "error?": ref("CallError"),
    "metadata?": { type: "object", additionalProperties: text },
    created_at: time,
    "ended_at?": time,
  }),
  CallLatency: object({ gateway: number, "upstream_first_byte?": number, total: number }, "Milliseconds."),
  // One attempt at one target. The attempt that answered has no error.
  CallAttempt: object({
    provider: text,
    model: text,
    "status?": integer,
    "error?": text,
    "reason?": text,
    started_at: time,
    ms: describe(number, "Until the first content, the whole answer or the failure."),
    "usage?": ref("Usage"),
    "cost_micros_usd?": integer,
  }),
  CallError: object({ code: text, message: text, status: integer }),
  // A plain call is a run of one call; their ids differ only in the prefix.
});

const INDEX = describe(integer, "Of the block in the output.");
const FINISH_REASON = oneOf("stop", "length", "tool_calls", "content_filter", "refusal", "pause", "other");
const STOP_REASON = oneOf("end_turn", "max_tokens", "cancelled", "safety_blocked", "error");
const CALL_STATUS = oneOf("running", "completed", "incomplete", "failed", "interrupted");

/** An event of a native stream. Its `event_id` is its number in the stream, and its SSE `id:`. */
function event(type: string, members: Components): Components[string] {
  return object({ type: literal(type), event_id: integer, ...members });
}
