import { GatewayError } from "../../canonical/error.ts";
import type { Block, Finish, FinishReason, Message, ModelResponse } from "../../canonical/types.ts";
import {
  isObject,
  type Json,
  type JsonObject,
  stringifyMember,
  stringOf,
  withoutUndefined,
  lookUp,
} from "../../wire/json.ts";
import { AnswerCalls } from "../answer-calls.ts";
import { type ReplyContext, toSafeId } from "../dialect.ts";
import { findErrorBody } from "../error-body.ts";
import { decodeBlock, parseInput } from "./blocks.ts";
import { encodeCitations } from "./citations.ts";
import { decodeErrorBody } from "./errors.ts";
import { hasNoContent } from "./messages.ts";
import { decodeUsage, encodeUsage } from "./usage.ts";

const dialect = "anthropic";

/** Throws the error of the body if it is one, and `provider.execution_failed` if it is no message. */
export function decodeResponse(body: Json, seal?: string, callId?: string): ModelResponse {
  const failed = findErrorBody(body);
  if (failed !== undefined) throw decodeErrorBody(undefined, failed);
  if (!isObject(body) || !Array.isArray(body.content))
    throw new GatewayError("provider.execution_failed", "the provider's answer is not a valid Anthropic message");
  const { content, ...envelope } = body;
  const calls = new AnswerCalls(callId);
  const identified = content.flatMap((item) => identifyCall(item, calls) ?? []);
  const messages = decodeReply(identified, seal);
  return {
    id: stringifyMember(body.id),
    model: stringifyMember(body.model),
    messages,
    ...decodeFinish(envelope, messages, calls),
    usage: decodeUsage(body.usage),
    rest: { dialect, item: envelope },
  };
}

/** The envelope of this wire is passed on; canonical members replace those of the same name. */
export function encodeResponse(
  { id, model, messages, finish, usage, rest }: ModelResponse,
  _: ReplyContext,
): JsonObject {
  const blocks = messages.flatMap((message) => message.blocks);
  const own = rest?.dialect === dialect && isObject(rest.item) ? rest.item : {};
  return {
    ...own,
    id: toMessageId(id),
    type: "message",
    role: "assistant",
    model,
    content: blocks.flatMap((block) => encodeReplyBlock(block) ?? []),
    ...encodeFinish(
      finish,
      blocks.some(({ kind }) => kind === "tool_call"),
    ),
    usage: encodeUsage(usage, rest?.dialect === dialect),
  };
}

/** The block, of a call with an id; undefined if the call is left out. */
export function identifyCall(item: Json, calls: AnswerCalls): Json | undefined {
  if (!isObject(item) || item.type !== "tool_use") return item;
  const known = stringifyMember(item.id);
  const args = isObject(item.input) && Object.keys(item.input).length === 0 ? "" : JSON.stringify(item.input ?? "");
  const id = calls.identify({ id: known, name: stringifyMember(item.name), arguments: args });
  if (id === undefined) return undefined;
  return id === known ? item : { ...item, id };
}

/**
 * `content` as one assistant message, or none if it is empty. Empty texts are not part of the native item: the
 * API returns them, but refuses them in a request ("text content blocks must be non-empty"). It accepts white
 * space beside other texts.
 */
export function decodeReply(content: readonly Json[], seal?: string): Message[] {
  if (content.length === 0) return [];
  const blocks = content.map((item) => decodeBlock(item, seal));
  const nonEmpty = content.filter((item) => !isObject(item) || item.type !== "text" || item.text !== "");
  if (hasNoContent(nonEmpty)) return [{ role: "assistant", blocks }];
  return [{ role: "assistant", blocks, native: { dialect, item: { role: "assistant", content: nonEmpty } } }];
}

/**
 * `undefined` for a block that a client of this wire cannot read: server tools of other providers, sealed
 * reasoning, media.
 */
export function encodeReplyBlock(block: Block): JsonObject | undefined {
  const { native } = block;
  if (native?.dialect === dialect && isObject(native.item) && native.item.type !== undefined) return native.item;
  switch (block.kind) {
    case "text": {
      if (block.text === "") return undefined;
      const citations = encodeCitations(block);
      return { type: "text", text: block.text, ...(citations.length > 0 && { citations }) };
    }
    case "thinking":
      return block.text === "" ? undefined : { type: "thinking", thinking: block.text, signature: "" };
    case "tool_call": {
      const input = parseInput(block.arguments) ?? { _raw: block.arguments };
      return { type: "tool_use", id: block.id, name: block.name, input };
    }
    case "media":
    case "tool_result":
    case "opaque":
      return undefined;
  }
}

/** Clients recognize messages by id: the same answer always has the same one. */
export const toMessageId = (id: string): string =>
  id.startsWith("msg_") ? id : `msg_${toSafeId(id, /^[a-zA-Z0-9_-]{1,60}$/)}`;

/** `stop_reason` (Anthropic API, "Handling stop reasons"). */
const FINISH: Record<string, FinishReason> = {
  end_turn: "stop",
  stop_sequence: "stop",
  max_tokens: "length",
  model_context_window_exceeded: "length",
  tool_use: "tool_calls",
  pause_turn: "pause",
  compaction: "pause",
  refusal: "refusal",
};

/**
 * The content takes precedence: an answer with a call of a client tool is waiting for its result
 * (bifrost#6123).
 */
export function decodeFinish(
  envelope: JsonObject,
  messages: readonly Message[],
  calls: AnswerCalls,
): Pick<ModelResponse, "finish" | "losses"> {
  const stopReason = stringOf(envelope.stop_reason);
  const reason = stopReason === undefined ? "other" : (lookUp(FINISH, stopReason) ?? "other");
  const blocks = messages.flatMap((message) => message.blocks);
  const hasCall = blocks.some(({ kind }) => kind === "tool_call");
  const isCut = reason !== "stop" && reason !== "other";
  const finish: Finish = withoutUndefined({
    reason: hasCall && !isCut ? "tool_calls" : reason,
    native: stopReason,
    stopSequence: stringOf(envelope.stop_sequence),
  });
  return calls.finish(finish, blocks);
}

/** Inverse of `FINISH`; the API has no content filter beside refusals. */
const STOP_REASON: Record<FinishReason, string> = {
  stop: "end_turn",
  length: "max_tokens",
  tool_calls: "tool_use",
  content_filter: "refusal",
  refusal: "refusal",
  pause: "pause_turn",
  other: "end_turn",
  error: "refusal",
};

/** The reason of the provider if it is one of this wire with the same meaning. */
export function encodeFinish({ reason, native, stopSequence }: Finish, hasCall: boolean): JsonObject {
  const isOwn = native !== undefined && lookUp(FINISH, native) === reason;
  const stopReason = isOwn
    ? native
    : stopSequence !== undefined && reason === "stop"
      ? "stop_sequence"
      : STOP_REASON[reason];
  const isEnd = stopReason === "end_turn" || stopReason === "stop_sequence";
  return { stop_reason: hasCall && isEnd ? "tool_use" : stopReason, stop_sequence: stopSequence ?? null };
}
