import { type Components, integer, oneOf, text } from "../json-schema.ts";

/** Parameters that several operations share, by the name in `#/components/parameters/`. */
export const parameterComponents = (): Components => ({
  // Headers of many operations: openapi-document.ts adds the first two by method.
  IdempotencyKey: {
    name: "idempotency-key",
    in: "header",
    description: "The same key and body within 24 hours returns the first answer.",
    schema: { type: "string", minLength: 1, maxLength: 255 },
  },
  Organization: {
    name: "x-rhone-organization",
    in: "header",
    description: "The organisation in which the bootstrap key acts; other keys have one.",
    schema: text,
  },
  AnthropicVersion: {
    name: "anthropic-version",
    in: "header",
    required: true,
    schema: { type: "string", examples: ["2023-06-01"] },
  },
  // Gemini's paths.
  Alt: {
    name: "alt",
    in: "query",
    description: "sse: server-sent events; otherwise the stream is one JSON list.",
    schema: oneOf("sse", "json"),
  },
  Model: { name: "model", in: "path", required: true, schema: text },
  // A call, and the place in its stream from which to continue.
  CallId: { name: "id", in: "path", required: true, schema: text },
  RunId: { name: "id", in: "path", required: true, schema: text },
  After: {
    name: "after",
    in: "query",
    description: "The number of the last event that was received; 0: none.",
    schema: integer,
  },
  LastEventId: {
    name: "last-event-id",
    in: "header",
    description: "The same as `after`; it takes precedence.",
    schema: integer,
  },
  // The WebSocket of sessions.
  BoundSession: {
    name: "session_id",
    in: "query",
    description: "The session that the connection is for; absent: the first session.bind names it.",
    schema: text,
  },
});
