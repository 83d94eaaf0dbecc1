import { fold } from "../../src/canonical/accumulator.ts";
import type { Dialect, ModelResponse, ToolCall } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import type { JsonObject } from "../../src/wire/json.ts";
import { decodeSse } from "../../src/wire/sse.ts";

/** A call of an answer, as far as its provider names it. */
export type Call = { id?: string; name?: string; args: JsonObject };

/** An answer with a text and these calls, on one wire: whole, and as the events of a stream. */
export type Answers = {
  whole: (calls: readonly Call[]) => JsonObject;
  stream: (calls: readonly Call[]) => JsonObject[];
};

export const chatCalls = (calls: readonly Call[]): JsonObject[] =>
  calls.map(({ id, name, args }) => ({
    ...(id !== undefined && { id }),
    type: "function",
    function: { ...(name !== undefined && { name }), arguments: JSON.stringify(args) },
  }));
export const messageCalls = (calls: readonly Call[]): JsonObject[] =>
  calls.map(({ id, name, args }) => ({
    type: "tool_use",
    ...(id !== undefined && { id }),
    ...(name !== undefined && { name }),
    input: args,
  }));
export const responseCalls = (calls: readonly Call[]): JsonObject[] =>
  calls.map(({ id, name, args }, i) => ({
    type: "function_call",
    id: `fc_${i}`,
    ...(id !== undefined && { call_id: id }),
    ...(name !== undefined && { name }),
    arguments: JSON.stringify(args),
  }));
export const nativeCalls = (calls: readonly Call[]): JsonObject[] =>
  calls.map(({ id, name, args }) => ({
    type: "tool_call",
    ...(id !== undefined && { id }),
    ...(name !== undefined && { name }),
    arguments: JSON.stringify(args),
  }));
export const parts = (calls: readonly Call[]): JsonObject[] =>
  calls.map(({ args, ...call }) => ({ functionCall: { ...call, args } }));
export const outputText: JsonObject = {
  type: "message",
  id: "msg_1",
  role: "assistant",
  content: [{ type: "output_text", text: "so" }],
};

export const WIRES: Record<Dialect, Answers> = {
  "openai-chat": {
    whole: (calls) => ({
      id: "c",
      model: "m",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "so", tool_calls: chatCalls(calls) },
          finish_reason: "tool_calls",
        },
      ],
    }),
    stream: (calls) => [
      { id: "c", model: "m", choices: [{ index: 0, delta: { role: "assistant", content: "so" } }] },
      ...chatCalls(calls).map((call, index) => ({
        id: "c",
        model: "m",
        choices: [{ index: 0, delta: { tool_calls: [{ index, ...call }] } }],
      })),
      { id: "c", model: "m", choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" }] },
    ],
  },
  anthropic: {
    whole: (calls) => ({
      type: "message",
      id: "msg_1",
      model: "m",
      content: [{ type: "text", text: "so" }, ...messageCalls(calls)],
      stop_reason: "tool_use",
    }),
    stream: (calls) => [
      { type: "message_start", message: { id: "msg_1", model: "m", content: [] } },
      ...[{ type: "text", text: "so" }, ...messageCalls(calls)].flatMap((block, index): JsonObject[] => {
        const delta: JsonObject =
          block.type === "text"
            ? { type: "text_delta", text: "so" }
            : { type: "input_json_delta", partial_json: JSON.stringify(block.input) };
        const start = block.type === "text" ? { ...block, text: "" } : { ...block, input: {} };
        return [
          { type: "content_block_start", index, content_block: start },
          { type: "content_block_delta", index, delta },
          { type: "content_block_stop", index },
        ];
      }),
      { type: "message_delta", delta: { stop_reason: "tool_use" } },
      { type: "message_stop" },
    ],
  },
  "openai-responses": {
    whole: (calls) => ({ id: "r", model: "m", status: "completed", output: [outputText, ...responseCalls(calls)] }),
    stream: (calls) => [
      { type: "response.created", response: { id: "r", model: "m" } },
      ...[outputText, ...responseCalls(calls)].flatMap((item, output_index): JsonObject[] => [
        {
          type: "response.output_item.added",
          output_index,
          item: { ...item, ...(item.type === "message" ? { content: [] } : { arguments: "" }) },
        },
        ...(item.type === "message"
          ? []
          : [{ type: "response.function_call_arguments.delta", output_index, delta: item.arguments! }]),
        { type: "response.output_item.done", output_index, item },
      ]),
      {
        type: "response.completed",
        response: { id: "r", model: "m", status: "completed", output: [outputText, ...responseCalls(calls)] },
      },
    ],
  },
  gemini: {
    whole: (calls) => ({
      responseId: "g",
      modelVersion: "m",
      candidates: [{ content: { role: "model", parts: [{ text: "so" }, ...parts(calls)] }, finishReason: "STOP" }],
    }),
    stream: (calls) => [
      ...[{ text: "so" }, ...parts(calls)].map((part) => ({
        responseId: "g",
        modelVersion: "m",
        candidates: [{ content: { role: "model", parts: [part] } }],
      })),
      { responseId: "g", modelVersion: "m", candidates: [{ finishReason: "STOP" }] },
    ],
  },
  native: {
    whole: (calls) => ({
      call: { id: "n", model: "m", finish_reason: "tool_calls" },
      output: [{ type: "response", text: "so" }, ...nativeCalls(calls)],
    }),
    stream: (calls) => [
      { type: "call.started", call: { id: "n", model: "m" } },
      { type: "response.delta", index: 0, text: "so" },
      ...nativeCalls(calls).flatMap((block, i): JsonObject[] => [
        { ...block, type: "tool_call.started", index: i + 1, arguments: "" },
        { type: "tool_call.delta", index: i + 1, arguments: block.arguments! },
        { type: "tool_call.done", index: i + 1, block },
      ]),
      {
        type: "call.completed",
        call: { id: "n", model: "m", finish_reason: "tool_calls" },
        output: [{ type: "response", text: "so" }, ...nativeCalls(calls)],
      },
    ],
  },
};

export const LOSS = { at: "tool_calls", what: "dropped", why: "the provider's tool call has no name" };

export function foldStream(dialect: Dialect, events: readonly JsonObject[], callId?: string): ModelResponse {
  const decoder = DIALECTS[dialect].decodeStream("home", callId);
  const sse = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
  return fold([...decodeSse(encodeUtf8(sse)).flatMap((event) => decoder.push(event)), ...decoder.end()]);
}

export const callsOf = ({ messages }: Pick<ModelResponse, "messages">): ToolCall[] =>
  messages.flatMap(({ blocks }) => blocks.filter((block) => block.kind === "tool_call"));
