import {
  anything,
  arrayOf,
  type Components,
  describe,
  integer,
  literal,
  nullable,
  number,
  object,
  openObject,
  ref,
  text,
} from "../json-schema.ts";

/**
 * Answers in OpenAI's formats, as far as clients of the gateway rely on them. A provider's own answer is relayed with all
 * its members (OpenAI API reference: Chat Completions, Responses, Completions, Models).
 */
export const openaiSchemas = (): Components => ({
  // Chat Completions, whole.
  ChatCompletion: object({
    id: text,
    object: literal("chat.completion"),
    created: integer,
    model: text,
    choices: arrayOf(ref("ChatChoice")),
    "usage?": nullable(ref("ChatUsage")),
    "rhone?": ref("RhoneResult"),
  }),
  ChatChoice: object({
    index: integer,
    message: ref("ChatMessage"),
    "logprobs?": nullable(openObject),
    finish_reason: nullable(text),
  }),
  ChatMessage: object({
    role: text,
    content: describe({ type: ["string", "array", "null"] }, "Some providers answer with a list of parts."),
    "refusal?": nullable(text),
    "reasoning_content?": nullable(text),
    "annotations?": nullable(arrayOf(openObject)),
    "tool_calls?": nullable(arrayOf(ref("ChatToolCall"))),
  }),
  // In a chunk the members arrive in parts, joined by `index`.
  ChatToolCall: object({ "index?": integer, "id?": text, "type?": text, "function?": ref("ChatFunctionCall") }),
  ChatFunctionCall: object({ "name?": text, "arguments?": describe(text, "JSON text, as the model wrote it.") }),
  ChatUsage: object({
    "prompt_tokens?": integer,
    "completion_tokens?": integer,
    "total_tokens?": integer,
    "prompt_tokens_details?": nullable(openObject),
    "completion_tokens_details?": nullable(openObject),
  }),
  // Chat Completions, streamed.
  ChatCompletionChunk: object(
    {
      id: text,
      object: literal("chat.completion.chunk"),
      created: integer,
      model: text,
      choices: arrayOf(ref("ChatChunkChoice")),
      "usage?": nullable(ref("ChatUsage")),
      "rhone?": ref("RhoneResult"),
    },
    "The data of an event. The last one is `[DONE]`; a stream that fails ends with an OpenAIError instead.",
  ),
  ChatChunkChoice: object({
    index: integer,
    delta: ref("ChatDelta"),
    "logprobs?": nullable(openObject),
    "finish_reason?": nullable(text),
  }),
  ChatDelta: object({
    "role?": nullable(text),
    "content?": { type: ["string", "array", "null"] },
    "refusal?": nullable(text),
    "reasoning_content?": nullable(text),
    "tool_calls?": nullable(arrayOf(ref("ChatToolCall"))),
  }),
  // Responses. Other members repeat the request or are the provider's own.
  Response: object({
    id: text,
    object: literal("response"),
    created_at: number,
    status: text,
    model: text,
    output: arrayOf(ref("OutputItem")),
    "usage?": nullable(ref("ResponseUsage")),
    "error?": nullable(ref("ResponseFailure")),
    "incomplete_details?": nullable(openObject),
    "previous_response_id?": nullable(text),
    "conversation?": nullable(ref("ConversationReference")),
    "rhone?": ref("RhoneResult"),
  }),
  // Items have some twenty types, and providers add their own: only what all have is described.
  OutputItem: object({ "id?": text, type: text }, "The other members depend on the type."),
  ResponseUsage: object({
    input_tokens: integer,
    output_tokens: integer,
    "total_tokens?": integer,
    "input_tokens_details?": nullable(openObject),
    "output_tokens_details?": nullable(openObject),
  }),
  ResponseFailure: object({ code: nullable(text), message: text }),
  ConversationReference: object({ id: text }),
  // Events have some fifty types; for the same reason they are one open object, not a union.
  ResponseStreamEvent: object(
    {
      type: describe(text, "`response.created`, `response.output_text.delta`, …; providers have types of their own."),
      "sequence_number?": integer,
      "response?": describe(ref("Response"), "Of events that start or end the response."),
      "item?": ref("OutputItem"),
      "item_id?": text,
      "output_index?": integer,
      "content_index?": integer,
      "delta?": anything,
      "text?": text,
    },
    "The data of an event.",
  ),
  DeletedResponse: object({ id: text, object: text, deleted: literal(true) }),
  // Compaction and token counts.
  CompactedResponse: object({
    id: text,
    object: literal("response.compaction"),
    created_at: number,
    output: arrayOf(ref("OutputItem")),
    usage: ref("ResponseUsage"),
    "rhone?": ref("RhoneResult"),
  }),
  InputTokenCount: object({ "object?": text, input_tokens: integer }),
  // Legacy completions, in the same shape whole and streamed.
  Completion: object(
    {
      id: text,
      object: text,
      created: integer,
      model: text,
      choices: arrayOf(ref("CompletionChoice")),
      "usage?": nullable(ref("ChatUsage")),
    },
    "A legacy completion, and the data of its events.",
  ),
  CompletionChoice: object({
    index: integer,
    text,
    "logprobs?": nullable(openObject),
    "finish_reason?": nullable(text),
  }),
  // Models: OpenAI's members, and what the catalogue knows.
  ModelList: object({ object: literal("list"), data: arrayOf(ref("Model")) }),
  Model: object({
    id: text,
    object: literal("model"),
    created: integer,
    owned_by: text,
    "provider?": text,
    "context_window?": integer,
    "max_output_tokens?": integer,
    "capabilities?": arrayOf(text),
    "modalities?": ref("Modalities"),
  }),
  Modalities: object({ "input?": arrayOf(text), "output?": arrayOf(text) }),
});
