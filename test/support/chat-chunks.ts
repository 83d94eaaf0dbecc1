import { fold } from "../../src/canonical/accumulator.ts";
import type { ModelResponse, StreamEvent } from "../../src/canonical/types.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";
import { decodeSse } from "../../src/wire/sse.ts";

/** A delta of a call: position, members of the call, members of its function. */
export const piece = (index: number | undefined, called: JsonObject, members: JsonObject = {}): JsonObject => ({
  tool_calls: [{ ...(index !== undefined && { index }), ...members, function: called }],
});
export const text = (content: string): JsonObject => ({ content });
export const reasoning = (reasoning_content: string): JsonObject => ({ reasoning_content });
export const chunk = (delta: JsonObject, finish_reason: Json = null): JsonObject => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1,
  model: "m",
  choices: [{ index: 0, delta, finish_reason }],
});
export const DONE = "[DONE]";

export function eventsOf(chunks: readonly (JsonObject | string)[]): StreamEvent[] {
  const sse = chunks.map((data) => `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`).join("");
  const decoder = openaiChat.decodeStream();
  return [...decodeSse(encodeUtf8(sse)).flatMap((event) => decoder.push(event)), ...decoder.end()];
}
/** The answer of a stream with these deltas. */
export const answerOf = (deltas: readonly JsonObject[], finish: Json = "tool_calls"): ModelResponse =>
  fold(eventsOf([chunk({ role: "assistant" }), ...deltas.map((delta) => chunk(delta)), chunk({}, finish), DONE]));

export const blocksOf = ({ messages }: ModelResponse) => messages.flatMap(({ blocks }) => blocks);
export const callsOf = (answer: ModelResponse): string[][] =>
  blocksOf(answer).flatMap((block) => (block.kind === "tool_call" ? [[block.id, block.name, block.arguments]] : []));
export const textOf = (answer: ModelResponse, kind: "text" | "thinking" = "text"): string =>
  blocksOf(answer)
    .map((block) => (block.kind === kind ? block.text : ""))
    .join("");
export const nativeCallsOf = ({ messages }: ModelResponse): Json =>
  (messages[0]?.native?.item as JsonObject | undefined)?.tool_calls ?? [];

export const A = ["a", "look", '{"x":1}'];
export const B = ["b", "find", '{"y":2}'];
export const LOOK = { name: "look", arguments: "" };
