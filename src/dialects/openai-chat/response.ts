import { GatewayError } from "../../canonical/error.ts";
import type {
  Alternative,
  Block,
  Finish,
  FinishReason,
  Loss,
  Message,
  ModelResponse,
  ToolCall,
} from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, lookUp } from "../../wire/json.ts";
import { AnswerCalls, NAMELESS_CALL, NO_FINISH_REASON } from "../answer-calls.ts";
import { type ReplyContext } from "../dialect.ts";
import { findErrorBody } from "../error-body.ts";
import { decodeStreamError } from "../openai/errors.ts";
import { decodeLogprobs, encodeLogprobs, logprobsOf } from "../openai/logprobs.ts";
import { asDeclared, encodeCalledTool } from "./blocks.ts";
import { joinAnnotations } from "./citations.ts";
import { isFailure, isModelFault, nameOf } from "./finish-reason.ts";
import { decodeMessage } from "./messages.ts";
import { identifyCalls, isCompleteObject } from "./tool-calls.ts";
import { decodeUsage, encodeUsage } from "./usage.ts";

const dialect = "openai-chat";

/**
 * The first choice is the answer, the others are alternatives. Throws the error of the body if it is one, and
 * `provider.execution_failed` if there is no first choice with a message.
 */
export function decodeResponse(body: Json, seal?: string, callId = ""): ModelResponse {
  const failed = findErrorBody(body);
  if (failed !== undefined) throw decodeStreamError(failed);
  const choices = isObject(body) && Array.isArray(body.choices) ? body.choices : [];
  const decoded = choices.map((choice, i) => decodeChoice(choice, seal, scopeOfChoice(callId, i)));
  const [first, ...alternatives] = decoded.flatMap((choice) => choice ?? []);
  if (!isObject(body) || first === undefined || decoded[0] === undefined) {
    throw new GatewayError("provider.execution_failed", "the provider's answer is not a valid chat completion");
  }
  const { choices: _, ...envelope } = body;
  return {
    id: stringifyMember(body.id),
    model: stringifyMember(body.model),
    ...toAnswer(first),
    usage: decodeUsage(body.usage),
    ...(alternatives.length > 0 && { alternatives: alternatives.map(toAnswer) }),
    ...lossesOf([first, ...alternatives]),
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
    choices: [response, ...(response.alternatives ?? [])].map((one, i) => encodeChoice(one, i, reply)),
    ...(usage !== undefined && { usage }),
  };
}

/** `losses`: what was left out of the choice or derived for it. */
export type DecodedChoice = Alternative & { losses: Loss[] };

/** What ids for calls without one follow from: those of the first choice from the call's id, as on other wires. */
export const scopeOfChoice = (callId: string, index: number): string => (index === 0 ? callId : `${callId}/${index}`);

/**
 * Log probabilities belong to the whole choice; they are stored at its first text. Without a finish reason (null, or empty
 * at Snowflake) it follows from the content. `scope`: of `scopeOfChoice`.
 */
export function decodeChoice(
  choice: Json | undefined,
  seal: string | undefined,
  scope: string,
): DecodedChoice | undefined {
  if (!isObject(choice) || !isObject(choice.message)) return undefined;
  const calls = new AnswerCalls(scope);
  const message = decodeMessage(identifyCalls({ role: "assistant", ...choice.message }, calls), seal);
  const logprobs = decodeLogprobs(isObject(choice.logprobs) ? choice.logprobs.content : undefined);
  const reason = stringifyMember(choice.finish_reason);
  const decoded = decodeFinish(reason === "" ? undefined : reason, message);
  const { finish, losses: lost = [] } = calls.finish(decoded, message.blocks);
  const losses = [...lost, ...(reason === "" ? [NO_FINISH_REASON] : [])];
  if (logprobs.length === 0) return { messages: [message], finish, losses };
  const at = message.blocks.findIndex((block) => block.kind === "text" && !block.refusal);
  const blocks = message.blocks.map((block, i) => (i === at ? { ...block, logprobs } : block));
  return { messages: [{ ...message, blocks }], finish, losses };
}

export const toAnswer = ({ losses: _, ...answer }: DecodedChoice): Alternative => answer;

/** The member `losses` of an answer, absent if there are none. */
export function lossesOf(choices: readonly DecodedChoice[]): { losses?: Loss[] } {
  const losses = [...new Set(choices.flatMap((choice) => choice.losses))];
  return losses.length > 0 ? { losses } : {};
}

/** Whether an answer has content, and each of its calls a name and complete arguments. */
export function isWholeContent({ messages, losses }: DecodedChoice): boolean {
  const blocks = messages.flatMap((message) => message.blocks);
  const areCallsWhole = blocks.every((block) => block.kind !== "tool_call" || isCompleteObject(block.arguments));
  return areCallsWhole && !losses.includes(NAMELESS_CALL) && blocks.some(isContent);
}

/** Whether a block is more than reasoning and space. */
const isContent = (block: Block): boolean =>
  block.kind === "text" ? block.text.trim() !== "" : block.kind !== "thinking";

/** Inverse of `decodeChoice`. `logprobs` and `refusal` are required members, null if there are none. */
export function encodeChoice({ messages, finish }: Alternative, index: number, reply: ReplyContext): JsonObject {
  const content = messages.flatMap(({ blocks }) => blocks);
  const hasRefusal = content.some((block) => block.kind === "text" && block.refusal === true);
  const logprobs = logprobsOf(content);
  return {
    index,
    message: encodeReply(content, reply),
    logprobs: logprobs.length > 0 ? { content: encodeLogprobs(logprobs), refusal: null } : null,
    finish_reason: encodeFinish(finish, hasRefusal),
  };
}

/**
 * `finish_reason` of OpenAI (API reference, Chat: create) and synonyms of compatible hosts: `model_length` is of Mistral,
 * `eos_token` of TGI; `sensitive` and `model_context_window_exceeded` are of Z.ai. Proxies pass on those of Anthropic,
 * Gemini and Bedrock. Reasons that are absent here become `other`.
 */
const FINISH: Record<string, FinishReason> = {
  stop: "stop",
  end_turn: "stop",
  eos: "stop",
  eos_token: "stop",
  stop_sequence: "stop",
  length: "length",
  max_tokens: "length",
  model_length: "length",
  model_context_window_exceeded: "length",
  tool_calls: "tool_calls",
  function_call: "tool_calls",
  tool_use: "tool_calls",
  content_filter: "content_filter",
  sensitive: "content_filter",
  content_filtered: "content_filter",
  guardrail_intervened: "content_filter",
  safety: "content_filter",
  recitation: "content_filter",
  blocklist: "content_filter",
  prohibited_content: "content_filter",
  spii: "content_filter",
  refusal: "refusal",
};

/**
 * The content takes precedence over the reason: some hosts send `stop` with a tool call, but the client must
 * still return its result. Nothing takes precedence over a failure.
 */
function decodeFinish(finishReason: Json | undefined, message: Message): Finish {
  const native = typeof finishReason === "string" ? { native: finishReason } : {};
  const name = typeof finishReason === "string" ? nameOf(finishReason) : "stop";
  if (isFailure(finishReason)) return { reason: "error", ...native, ...(isModelFault(name) && { isModelFault: true }) };
  const mapped = lookUp(FINISH, name) ?? "other";
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
  if (reason === "length" || reason === "tool_calls" || reason === "content_filter" || reason === "error")
    return reason;
  return reason === "refusal" && !hasRefusal ? "content_filter" : "stop";
}

/**
 * One assistant message. Reasoning goes to `reasoning_content`, which clients of DeepSeek and vLLM read.
 */
function encodeReply(blocks: readonly Block[], reply: ReplyContext): JsonObject {
  const texts = blocks.filter((block) => block.kind === "text");
  const answers = texts.filter(({ refusal }) => !refusal);
  const refusal = texts.filter((text) => text.refusal).map(({ text }) => text);
  const reasoning = blocks.flatMap((block) => (block.kind === "thinking" ? [block.text] : [])).join("");
  const hasCall = blocks.filter((block): block is ToolCall => block.kind === "tool_call");
  const annotations = joinAnnotations(answers);
  return {
    role: "assistant",
    content: answers.length > 0 ? answers.map(({ text }) => text).join("") : null,
    refusal: refusal.length > 0 ? refusal.join("") : null,
    ...(reasoning !== "" && { reasoning_content: reasoning }),
    ...(annotations.length > 0 && { annotations }),
    ...(hasCall.length > 0 && {
      tool_calls: hasCall.map((call) => ({ id: call.id, ...encodeCalledTool(asDeclared(call, reply)) })),
    }),
  };
}
