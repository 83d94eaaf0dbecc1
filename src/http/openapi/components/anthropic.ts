import {
  anything,
  arrayOf,
  type Components,
  describe,
  integer,
  literal,
  nullable,
  object,
  openObject,
  ref,
  text,
  union,
} from "../json-schema.ts";

/** Answers in Anthropic's format (Anthropic API reference: Messages, streaming, token counting). */
export const anthropicSchemas = (): Components => ({
  // A whole message; in `message_start` one without content.
  Message: object({
    id: text,
    type: literal("message"),
    role: text,
    model: text,
    content: arrayOf(ref("MessageBlock")),
    stop_reason: nullable(text),
    "stop_sequence?": nullable(text),
    usage: ref("MessageUsage"),
    "rhone?": ref("RhoneResult"),
  }),
  // Content blocks have a dozen types, and Anthropic adds more: only common members are described.
  MessageBlock: object(
    {
      type: text,
      "text?": text,
      "thinking?": text,
      "signature?": text,
      "id?": text,
      "name?": text,
      "input?": anything,
    },
    "The members depend on the type.",
  ),
  // A provider that does not report a count sends null or omits it.
  MessageUsage: object({
    "input_tokens?": nullable(integer),
    "output_tokens?": nullable(integer),
    "cache_creation_input_tokens?": nullable(integer),
    "cache_read_input_tokens?": nullable(integer),
  }),
  // The set of event types is closed; a stream that fails ends with `error`.
  MessageStreamEvent: union(
    "type",
    {
      message_start: "MessageStartEvent",
      content_block_start: "ContentBlockStartEvent",
      content_block_delta: "ContentBlockDeltaEvent",
      content_block_stop: "ContentBlockStopEvent",
      message_delta: "MessageDeltaEvent",
      message_stop: "MessageStopEvent",
      ping: "MessagePingEvent",
      error: "AnthropicError",
    },
    "The data of an event.",
  ),
  MessageStartEvent: object({ type: literal("message_start"), message: ref("Message") }),
  ContentBlockStartEvent: object({
    type: literal("content_block_start"),
    index: integer,
    content_block: ref("MessageBlock"),
  }),
  ContentBlockDeltaEvent: object({
    type: literal("content_block_delta"),
    index: integer,
    delta: ref("MessageBlockDelta"),
  }),
  MessageBlockDelta: object({
    type: text,
    "text?": text,
    "thinking?": text,
    "signature?": text,
    "partial_json?": text,
    "citation?": openObject,
  }),
  ContentBlockStopEvent: object({ type: literal("content_block_stop"), index: integer }),
  // Carries the reason why the model stopped, and the `rhone` object of a stream's end.
  MessageDeltaEvent: object({
    type: literal("message_delta"),
    delta: ref("MessageDelta"),
    "usage?": ref("MessageUsage"),
    "rhone?": ref("RhoneResult"),
  }),
  MessageDelta: object({ "stop_reason?": nullable(text), "stop_sequence?": nullable(text) }),
  MessageStopEvent: object({ type: literal("message_stop") }),
  MessagePingEvent: object({ type: literal("ping") }),
  // Token counting.
  MessageTokenCount: object({ input_tokens: describe(integer, "Of the whole request.") }),
});
