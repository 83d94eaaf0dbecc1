import { GatewayError } from "../../canonical/error.ts";
import type {
  Alternative,
  Block,
  Finish,
  FinishReason,
  Message,
  ModelResponse,
  ToolCall,
} from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";
import { type ReplyContext } from "../dialect.ts";
import { decodeLogprobs, encodeLogprobs, logprobsOf } from "../openai/logprobs.ts";
import { encodeAnnotations } from "./citations.ts";
import { decodeMessage } from "./messages.ts";
import { decodeUsage, encodeUsage } from "./usage.ts";

const dialect = "openai-chat";

/**
 * The first choice is the answer, the others are alternatives. Throws `provider.execution_failed` if there is
 * no first choice with a message.
 */
export function decodeResponse(body: Json, seal?: string): ModelResponse {
  const choices = isObject(body) && Array.isArray(body.choices) ? body.choices : [];
  const [first, ...alternatives] = choices.flatMap((choice) => decodeChoice(choice, seal) ?? []);
  if (!isObject(body) || first === undefined || decodeChoice(choices[0], seal) === undefined) {
    throw new GatewayError("provider.execution_failed", "the provider's answer is not a valid chat completion");
  }
  const { choices: _, ...envelope } = body;
  return {
    id: stringifyMember(body.id),
    model: stringifyMember(body.model),
    ...first,
    usage: decodeUsage(body.usage),
    ...(alternatives.length > 0 && { alternatives }),
    rest: { dialect, item: envelope },
  };
}

/** Builds the response from the canonical members; `usage` is absent if the provider sent no counts. */
export function encodeResponse(response: ModelResponse, reply: ReplyContext): JsonObject {
  const usage = encodeUsage(response.usage);
  return {
    id: response.id,
    object: "chat.completion",
    created: reply.created,
    model: response.model,
    choices: [response, ...(response.alternatives ?? [])].map(encodeChoice),
    ...(usage !== undefined && { usage }),
  };
}

/** Log probabilities belong to the whole choice; they are stored at its first text. */
export function decodeChoice(choice: Json | undefined, seal: string | undefined): Alternative | undefined {
  if (!isObject(choice) || !isObject(choice.message)) return undefined;
  const message = decodeMessage({ role: "assistant", ...choice.message }, seal);
  const logprobs = decodeLogprobs(isObject(choice.logprobs) ? choice.logprobs.content : undefined);
  const finish = decodeFinish(choice.finish_reason, message);
  if (logprobs.length === 0) return { messages: [message], finish };
  const at = message.blocks.findIndex((block) => block.kind === "text" && !block.refusal);
  const blocks = message.blocks.map((block, i) => (i === at ? { ...block, logprobs } : block));
  return { messages: [{ ...message, blocks }], finish };
}

/** Inverse of `decodeChoice`. `logprobs` and `refusal` are required members, null if there are none. */
export function encodeChoice({ messages, finish }: Alternative, index: number): JsonObject {
  const content = messages.flatMap(({ blocks }) => blocks);
  const hasRefusal = content.some((block) => block.kind === "text" && block.refusal === true);
  const logprobs = logprobsOf(content);
  return {
    index,
    message: encodeReply(content),
    logprobs: logprobs.length > 0 ? { content: encodeLogprobs(logprobs), refusal: null } : null,
    finish_reason: encodeFinish(finish, hasRefusal),
  };
}

/**
 * `finish_reason` of OpenAI (API reference, Chat: create) and synonyms of compatible hosts (`model_length` is
 * of Mistral).
 */
const FINISH: Record<string, FinishReason> = {
  stop: "stop",
  end_turn: "stop",
  eos: "stop",
  length: "length",
  max_tokens: "length",
  model_length: "length",
  tool_calls: "tool_calls",
  function_call: "tool_calls",
  content_filter: "content_filter",
};

/**
 * The content takes precedence over the reason: some hosts send `stop` with a tool call, but the client must
 * still return its result.
 */
export function decodeFinish(finishReason: Json | undefined, message: Message): Finish {
  const native = typeof finishReason === "string" ? { native: finishReason } : {};
  const mapped = FINISH[typeof finishReason === "string" ? finishReason : "stop"] ?? "other";
  const hasCall = message.blocks.some(({ kind }) => kind === "tool_call");
  const hasRefusal = message.blocks.some((block) => block.kind === "text" && block.refusal);
  if (hasCall && (mapped === "stop" || mapped === "other")) return { reason: "tool_calls", ...native };
  return { reason: hasRefusal && mapped === "stop" ? "refusal" : mapped, ...native };
}

/**
 * A refusal with a text is an ordinary end of this wire. A refusal without one (Anthropic stops the answer) is
 * the same as a content filter.
 */
export function encodeFinish({ reason }: Finish, hasRefusal: boolean): string {
  if (reason === "length" || reason === "tool_calls" || reason === "content_filter") return reason;
  return reason === "refusal" && !hasRefusal ? "content_filter" : "stop";
}

/**
 * One assistant message. Reasoning goes to `reasoning_content`, which clients of DeepSeek and vLLM read.
 */
function encodeReply(blocks: readonly Block[]): JsonObject {
  const texts = blocks.filter((block) => block.kind === "text");
  const answers = texts.filter(({ refusal }) => !refusal);
  const refusal = texts.filter((text) => text.refusal).map(({ text }) => text);
  const reasoning = blocks.flatMap((block) => (block.kind === "thinking" ? [block.text] : [])).join("");
  const hasCall = blocks.filter((block): block is ToolCall => block.kind === "tool_call");
  const annotations = answers.flatMap(encodeAnnotations);
  return {
    role: "assistant",
    content: answers.length > 0 ? answers.map(({ text }) => text).join("") : null,
    refusal: refusal.length > 0 ? refusal.join("") : null,
    ...(reasoning !== "" && { reasoning_content: reasoning }),
    ...(annotations.length > 0 && { annotations }),
    ...(hasCall.length > 0 && {
      tool_calls: hasCall.map(({ id, name, arguments: args }) => ({
        id,
        type: "function",
        function: { name, arguments: args || "{}" },
      })),
    }),
  };
}
