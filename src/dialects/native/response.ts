import { GatewayError } from "../../canonical/error.ts";
import type { Block, Finish, FinishReason, Message, ModelResponse } from "../../canonical/types.ts";
import { withPrefix } from "../../wire/id.ts";
import { isObject, type Json, type JsonObject, stringifyMember, stringOf, withoutUndefined } from "../../wire/json.ts";
import { AnswerCalls } from "../answer-calls.ts";
import { type ReplyContext } from "../dialect.ts";
import { findErrorBody } from "../error-body.ts";
import { encodeBlock } from "./blocks.ts";
import { decodeErrorBody } from "./errors.ts";
import { decodeMessage } from "./messages.ts";
import { decodeUsage, encodeUsage } from "./usage.ts";

const dialect = "native";

/**
 * `{call, output: [block], usage}`. Throws the error of the body, or `provider.execution_failed` if it is no
 * call.
 */
export function decodeResponse(body: Json, _seal?: string, callId?: string): ModelResponse {
  const failed = findErrorBody(body);
  if (failed !== undefined) throw decodeErrorBody(undefined, failed);
  if (!isObject(body) || !isObject(body.call) || !Array.isArray(body.output))
    throw new GatewayError("provider.execution_failed", "the provider's answer is not a valid call of the native API");
  const { output, ...envelope } = body;
  const calls = new AnswerCalls(callId);
  const messages = decodeOutput(output, calls).flatMap((message) => message ?? []);
  return {
    id: stringifyMember(body.call.id),
    model: stringifyMember(body.call.model),
    messages,
    ...decodeFinish(body.call, messages, calls),
    usage: decodeUsage(body.usage),
    rest: { dialect, item: envelope },
  };
}

/** Inverse of `decodeResponse`. */
export function encodeResponse(response: ModelResponse, reply: ReplyContext): JsonObject {
  const { id, model, messages, finish, usage } = response;
  const blocks = messages.flatMap((message) => message.blocks);
  return {
    call: encodeCall({ id, model, status: "completed", finish }, reply),
    output: blocks.map(encodeOutput),
    usage: encodeUsage(usage),
  };
}

/** Every block of an output belongs to the assistant, of any type. Undefined: the block is a call that is left out. */
export const decodeOutput = (output: readonly Json[], calls: AnswerCalls): (Message | undefined)[] =>
  output.map((item) => {
    const identified = identifyCall(item, calls);
    return identified === undefined ? undefined : { ...decodeMessage(identified), role: "assistant" };
  });

/** The block, of a call with an id; undefined if the call is left out. */
function identifyCall(item: Json, calls: AnswerCalls): Json | undefined {
  if (!isObject(item) || item.type !== "tool_call") return item;
  const [known, name, args] = [item.id, item.name, item.arguments].map(stringifyMember);
  const id = calls.identify({ id: known!, name: name!, arguments: args! });
  if (id === undefined) return undefined;
  return id === known ? item : { ...item, id };
}

export const encodeOutput = (block: Block): JsonObject => encodeBlock(block, "assistant");

/** The known facts of a call. */
type CallState = { id: string; model: string; status: "running" | "completed" | "failed"; finish?: Finish };

/**
 * The call in the form of `GET /v1/calls/{id}`, as far as it is known. Without `ReplyContext.call` there is no
 * session, and the id is that of the provider.
 */
export function encodeCall({ id, model, status, finish }: CallState, { call, created }: ReplyContext): JsonObject {
  return withoutUndefined({
    id: call?.id ?? id,
    object: "call",
    ...(call !== undefined && { run_id: withPrefix(call.id, "run"), session_id: call.sessionId }),
    ...(call !== undefined && status === "completed" && { turn_id: withPrefix(call.id, "turn") }),
    status,
    finish_reason: finish?.reason,
    stop_sequence: finish?.stopSequence,
    model: model === "" ? undefined : model,
    created_at: new Date(created * 1000).toISOString(),
  });
}

/** Finish reasons of the wire: the canonical ones. */
const REASONS = new Set<Json>([
  "stop",
  "length",
  "tool_calls",
  "content_filter",
  "refusal",
  "pause",
  "other",
  "error",
] satisfies FinishReason[]);

/** The content takes precedence over the reason: an answer with a call is waiting for its result. */
export function decodeFinish(
  call: JsonObject,
  messages: readonly Message[],
  calls: AnswerCalls,
): Pick<ModelResponse, "finish" | "losses"> {
  const native = stringOf(call.finish_reason);
  const reason = native !== undefined && REASONS.has(native) ? (native as FinishReason) : "other";
  const blocks = messages.flatMap((message) => message.blocks);
  const hasCall = blocks.some(({ kind }) => kind === "tool_call");
  const isEnd = reason === "stop" || reason === "other";
  const finish: Finish = withoutUndefined({
    reason: hasCall && isEnd ? "tool_calls" : reason,
    native,
    stopSequence: stringOf(call.stop_sequence),
  });
  return calls.finish(finish, blocks);
}
