/** The wires of the provider on bare sockets. */
export type Wire = "chat" | "responses" | "messages" | "gemini";

export const WORDS = ["One ", "two ", "three ", "four."];
export const WHOLE = WORDS.join("");
export const DONE = "data: [DONE]\n\n";

/** The frames of a stream that consists of these words. */
export function framesOf(wire: Wire, words: readonly string[]): string[] {
  return { chat: chatFrames, responses: responsesFrames, messages: messagesFrames, gemini: geminiFrames }[wire](words);
}

const data = (value: object): string => `data: ${JSON.stringify(value)}\n\n`;
const named = (type: string, members: object): string => `event: ${type}\n${data({ type, ...members })}`;

function chatFrames(words: readonly string[]): string[] {
  const chunk = (delta: object, finish_reason: string | null = null): string =>
    data({
      id: "chatcmpl-wire",
      object: "chat.completion.chunk",
      created: 1,
      model: "wire-model",
      choices: [{ index: 0, delta, finish_reason }],
    });
  return [
    chunk({ role: "assistant", content: "" }),
    ...words.map((content) => chunk({ content })),
    chunk({}, "stop"),
    DONE,
  ];
}

const responseOf = (text: string, status: string): object => ({
  id: "resp_wire",
  object: "response",
  created_at: 1,
  status,
  model: "wire-model",
  output: text === "" ? [] : [messageOf(text, "completed")],
  error: null,
  incomplete_details: null,
  usage: { input_tokens: 3, output_tokens: 4, total_tokens: 7 },
});
const messageOf = (text: string, status: string): object => ({
  id: "msg_wire",
  type: "message",
  role: "assistant",
  status,
  content: text === "" ? [] : [{ type: "output_text", text, annotations: [] }],
});

function responsesFrames(words: readonly string[]): string[] {
  const text = words.join("");
  const at = { item_id: "msg_wire", output_index: 0, content_index: 0 };
  const events: [type: string, members: object][] = [
    ["response.created", { response: responseOf("", "in_progress") }],
    ["response.output_item.added", { output_index: 0, item: messageOf("", "in_progress") }],
    ["response.content_part.added", { ...at, part: { type: "output_text", text: "", annotations: [] } }],
    ...words.map((delta): [string, object] => ["response.output_text.delta", { ...at, delta }]),
    ["response.output_text.done", { ...at, text }],
    ["response.content_part.done", { ...at, part: { type: "output_text", text, annotations: [] } }],
    ["response.output_item.done", { output_index: 0, item: messageOf(text, "completed") }],
    ["response.completed", { response: responseOf(text, "completed") }],
  ];
  return events.map(([type, members], sequence_number) => named(type, { sequence_number, ...members }));
}

const messageBody = (content: object[], stop_reason: string | null): object => ({
  id: "msg_wire",
  type: "message",
  role: "assistant",
  model: "wire-model",
  content,
  stop_reason,
  stop_sequence: null,
  usage: { input_tokens: 3, output_tokens: stop_reason === null ? 1 : 4 },
});

function messagesFrames(words: readonly string[]): string[] {
  return [
    named("message_start", { message: messageBody([], null) }),
    named("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
    ...words.map((text) => named("content_block_delta", { index: 0, delta: { type: "text_delta", text } })),
    named("content_block_stop", { index: 0 }),
    named("message_delta", { delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 4 } }),
    named("message_stop", {}),
  ];
}

const geminiChunk = (text: string, finishReason?: string): object => ({
  candidates: [
    { index: 0, content: { role: "model", parts: [{ text }] }, ...(finishReason !== undefined && { finishReason }) },
  ],
  usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 4, totalTokenCount: 7 },
  modelVersion: "wire-model",
  responseId: "wire",
});

const geminiFrames = (words: readonly string[]): string[] =>
  words.map((text, i) => data(geminiChunk(text, i === words.length - 1 ? "STOP" : undefined)));

/** A whole answer with the text. */
export function answerOf(wire: Wire, text: string): string {
  const answers: Record<Wire, () => object> = {
    chat: () => ({
      id: "chatcmpl-wire",
      object: "chat.completion",
      created: 1,
      model: "wire-model",
      choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
      usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
    }),
    responses: () => responseOf(text, "completed"),
    messages: () => messageBody([{ type: "text", text }], "end_turn"),
    gemini: () => geminiChunk(text, "STOP"),
  };
  return JSON.stringify(answers[wire]());
}

/** The body of an error. `words`: bodies of their own for some wires. */
export function errorOf(wire: Wire, status: string, words: Record<string, string>): string {
  const own = words[wire];
  if (own !== undefined) return own;
  const message = `The provider says ${status}`;
  if (wire === "messages") return JSON.stringify({ type: "error", error: { type: "api_error", message } });
  if (wire === "gemini")
    return JSON.stringify({ error: { code: Number.parseInt(status, 10), message, status: "INTERNAL" } });
  return JSON.stringify({ error: { message, type: "server_error", param: null, code: null } });
}

/** An error within a stream. */
export function errorFrame(wire: Wire): string {
  const message = "Overloaded";
  if (wire === "messages") return named("error", { error: { type: "overloaded_error", message } });
  if (wire === "responses")
    return named("response.failed", {
      response: { ...responseOf("", "failed"), error: { code: "server_error", message } },
    });
  return `data: ${errorOf(wire, "503", {})}\n\n`;
}
