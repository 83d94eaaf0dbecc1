import { GatewayError } from "../../canonical/error.ts";
import type { Alternative, Block, Finish, FinishReason, Message, ModelResponse, Text } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, lookUp } from "../../wire/json.ts";
import { AnswerCalls } from "../answer-calls.ts";
import { type ReplyContext } from "../dialect.ts";
import { findErrorBody } from "../error-body.ts";
import { encodePart } from "./blocks.ts";
import { readMember } from "./casing.ts";
import { newDecodeContext } from "./decode-context.ts";
import { decodeStreamError } from "./errors.ts";
import { encodeGrounding, withCitations } from "./grounding.ts";
import { encodeLogprobs, withLogprobs } from "./logprobs.ts";
import { decodeMessage } from "./messages.ts";
import { decodeUsage, encodeUsage } from "./usage.ts";

const dialect = "gemini";

/**
 * The first candidate is the answer; `rest` has all members of the candidates except the content of the first.
 * Throws the error of the body if it is one, and `provider.execution_failed` if there is neither a candidate nor a reason
 * for refusing the prompt.
 */
export function decodeResponse(body: Json, seal?: string, callId = ""): ModelResponse {
  const failed = findErrorBody(body);
  if (failed !== undefined) throw decodeStreamError(failed);
  const candidates = isObject(body) && Array.isArray(body.candidates) ? body.candidates : [];
  const [first, ...others] = candidates;
  if (!isObject(body) || (!isObject(first) && blockReasonOf(body) === undefined)) {
    throw new GatewayError("provider.execution_failed", "the provider's answer has no candidates");
  }
  const candidate: JsonObject = isObject(first) ? first : {};
  const { content: _, ...candidateRest } = candidate;
  const blocked = readFinishReason(candidate.finishReason) === "" ? blockReasonOf(body) : undefined;
  const { messages, finish, losses = [] } = decodeCandidate(candidate, seal, callId);
  const alternatives = others.filter(isObject).map((other, i) => decodeCandidate(other, seal, `${callId}/${i + 1}`));
  const lost = new Set([...losses, ...alternatives.flatMap((other) => other.losses ?? [])]);
  return {
    id: stringifyMember(body.responseId),
    model: stringifyMember(body.modelVersion),
    messages,
    // Every reason for refusing the prompt is a filter: `OTHER` is no failure here.
    finish: blocked === undefined ? finish : { reason: "content_filter", native: blocked },
    usage: decodeUsage(body.usageMetadata),
    ...(alternatives.length > 0 && {
      alternatives: alternatives.map((other) => ({ messages: other.messages, finish: other.finish })),
    }),
    ...(lost.size > 0 && { losses: [...lost] }),
    rest: { dialect, item: isObject(first) ? { ...body, candidates: [candidateRest, ...others] } : body },
  };
}

/** A content of Gemini itself is passed unchanged. */
export function encodeResponse(response: ModelResponse, _reply: ReplyContext): JsonObject {
  const blocks = response.messages.flatMap((message) => message.blocks);
  const own = response.messages.length === 1 ? response.messages[0]!.native : undefined;
  const content =
    own?.dialect === dialect
      ? own.item
      : { role: "model", parts: blocks.flatMap((block) => encodeReplyPart(block) ?? []) };
  return {
    ...encodeEnvelope(response),
    candidates: [{ content, ...encodeEnd(response, blocks) }, ...encodeOthers(response)],
  };
}

/** A content without parts has no message: the API refuses it in the next request. */
function decodeCandidate(
  candidate: JsonObject,
  seal: string | undefined,
  scope: string,
): Alternative & Pick<ModelResponse, "losses"> {
  const { content, groundingMetadata, logprobsResult } = candidate;
  const calls = new AnswerCalls();
  const all = isObject(content) && Array.isArray(content.parts) ? content.parts : [];
  const parts = all.filter((part) => isAcceptedPart(part, calls));
  if (!isObject(content) || parts.length === 0)
    return { messages: [], ...calls.finish(decodeFinish(candidate, []), []) };
  const message = decodeMessage({ ...content, role: "model", parts }, newDecodeContext(seal, scope));
  const blocks = withLogprobs(withCitations(message.blocks, parts, groundingMetadata), logprobsResult);
  const messages = [{ ...message, blocks }];
  return { messages, ...calls.finish(decodeFinish(candidate, messages), blocks) };
}

/** False for a call that is left out. */
export function isAcceptedPart(part: Json, calls: AnswerCalls): boolean {
  const call = isObject(part) ? readMember(part, "functionCall") : undefined;
  if (!isObject(call)) return true;
  const { id, name, ...others } = call;
  const args = Object.keys(others).length === 0 ? "" : JSON.stringify(others);
  return calls.accepts({ id: stringifyMember(id), name: stringifyMember(name), arguments: args });
}

export function encodeCandidate({ messages, finish }: Alternative, index: number): JsonObject {
  const blocks = messages.flatMap((message) => message.blocks);
  const parts = blocks.flatMap((block) => encodeReplyPart(block) ?? []);
  return { content: { role: "model", parts }, ...encodeEnding(finish, blocks), index };
}

/**
 * Unlike a request, an answer has reasoning of other providers too. Parts of Gemini are passed unchanged,
 * signatures included. The fallback text of other opaque items is omitted: it is not text of the model.
 */
export function encodeReplyPart(block: Block): Json | undefined {
  if (block.kind === "thinking" && block.native?.dialect !== dialect) {
    return block.text === "" ? undefined : { text: block.text, thought: true };
  }
  if (block.kind === "opaque" && block.native.dialect !== dialect) return undefined;
  const issuer = block.native?.seal === undefined ? {} : { issuer: block.native.seal };
  return encodePart(block, { dialect, model: "", ...issuer }, []);
}

/** Envelope and candidate of Gemini are passed on; those of other providers are built. */
export function encodeEnvelope({ id, model, usage, rest }: ModelResponse): JsonObject {
  const ids = { ...(model !== "" && { modelVersion: model }), ...(id !== "" && { responseId: id }) };
  if (rest?.dialect === dialect && isObject(rest.item)) return { ...rest.item, ...ids };
  const usageMetadata = encodeUsage(usage);
  return { ...(usageMetadata !== undefined && { usageMetadata }), ...ids };
}

/** Members of the first candidate beside its content. */
export function encodeEnd({ finish, rest }: ModelResponse, blocks: readonly Block[]): JsonObject {
  const [own] = candidatesOf(rest?.dialect === dialect ? rest.item : undefined);
  if (own !== undefined) return { ...own, finishReason: own.finishReason ?? encodeFinish(finish) };
  return { ...encodeEnding(finish, blocks), index: 0 };
}

function encodeEnding(finish: Finish, blocks: readonly Block[]): JsonObject {
  const texts = blocks.filter((block) => block.kind === "text");
  const grounding = texts.some(({ citations }) => citations !== undefined)
    ? encodeGrounding(toParts(blocks))
    : undefined;
  const logprobs = texts.flatMap((text) => text.logprobs ?? []);
  return {
    finishReason: encodeFinish(finish),
    ...(grounding !== undefined && { groundingMetadata: grounding }),
    ...(logprobs.length > 0 && { logprobsResult: encodeLogprobs(logprobs) }),
  };
}

/** The text of each part of the content: a block that has no part on this wire is left out. */
const toParts = (blocks: readonly Block[]): (Text | undefined)[] =>
  blocks
    .filter((block) => encodeReplyPart(block) !== undefined)
    .map((block) => (block.kind === "text" ? block : undefined));

/** Candidates after the first. */
const encodeOthers = ({ rest, alternatives = [] }: ModelResponse): JsonObject[] =>
  rest?.dialect === dialect
    ? candidatesOf(rest.item).slice(1)
    : alternatives.map((other, i) => encodeCandidate(other, i + 1));

const candidatesOf = (body: Json | undefined): JsonObject[] =>
  isObject(body) && Array.isArray(body.candidates) ? body.candidates.filter(isObject) : [];

/** The reason why the prompt was refused and no candidate exists (Gemini API, PromptFeedback). */
export function blockReasonOf(body: JsonObject): string | undefined {
  const reason = isObject(body.promptFeedback) ? (body.promptFeedback.blockReason ?? 0) : 0;
  return reason === 0 || UNSPECIFIED.test(stringifyMember(reason)) ? undefined : stringifyMember(reason);
}

/** The zero of an enum stands for a member that is absent (proto3 JSON). */
const UNSPECIFIED = /_UNSPECIFIED$/;

/** Gemini API, FinishReason. Reasons that are absent here become `other`. */
const FINISH: Record<string, FinishReason> = {
  STOP: "stop",
  MAX_TOKENS: "length",
  SAFETY: "content_filter",
  RECITATION: "content_filter",
  LANGUAGE: "content_filter",
  BLOCKLIST: "content_filter",
  PROHIBITED_CONTENT: "content_filter",
  SPII: "content_filter",
  MODEL_ARMOR: "content_filter",
  IMAGE_SAFETY: "content_filter",
  IMAGE_PROHIBITED_CONTENT: "content_filter",
  IMAGE_RECITATION: "content_filter",
};

/** The model has called a tool that the request does not declare. */
const UNDECLARED = "UNEXPECTED_TOOL_CALL";

/** Failures of the model: its output is unusable, although the host works. */
const MODEL_FAULTS: ReadonlySet<string> = new Set([
  "MALFORMED_FUNCTION_CALL",
  "MALFORMED_RESPONSE",
  UNDECLARED,
  "TOO_MANY_TOOL_CALLS",
  "MISSING_THOUGHT_SIGNATURE",
  "NO_IMAGE",
  "IMAGE_OTHER",
]);

/** Vertex AI, Candidate.FinishReason. Three recorded answers have the number of the enum, as proto3 JSON allows. */
const NUMBERED =
  "FINISH_REASON_UNSPECIFIED STOP MAX_TOKENS SAFETY RECITATION OTHER BLOCKLIST PROHIBITED_CONTENT SPII MALFORMED_FUNCTION_CALL MODEL_ARMOR IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION IMAGE_OTHER UNEXPECTED_TOOL_CALL NO_IMAGE".split(
    " ",
  );

/** "" if there is none: the answer goes on. */
export function readFinishReason(reason: Json | undefined): string {
  const name = typeof reason === "number" ? (NUMBERED[reason] ?? String(reason)) : stringifyMember(reason);
  return UNSPECIFIED.test(name) ? "" : name;
}

/**
 * Whether the reason is a failure, of the host or of the model. `OTHER` is "unknown reason" in the reference. A complete
 * call of a tool that is not declared is none: clients answer it with an error of their own, and the model goes on.
 */
export function isFailure(finishReason: Json | undefined, hasCall: boolean): boolean {
  const name = readFinishReason(finishReason);
  return name === "OTHER" || (MODEL_FAULTS.has(name) && !(hasCall && name === UNDECLARED));
}

/** The content takes precedence, as Gemini sends STOP for calls too, but not over a failure. */
function decodeFinish({ finishReason, finishMessage }: JsonObject, messages: readonly Message[]): Finish {
  const native = readFinishReason(finishReason);
  const hasCall = messages.some(({ blocks }) => blocks.some(({ kind }) => kind === "tool_call"));
  const message = typeof finishMessage === "string" ? { message: finishMessage } : {};
  if (isFailure(finishReason, hasCall))
    return { reason: "error", native, ...message, ...(MODEL_FAULTS.has(native) && { isModelFault: true }) };
  if (native === UNDECLARED) return { reason: "tool_calls", native, ...message };
  const mapped = native === "" ? "stop" : (lookUp(FINISH, native) ?? "other");
  const reason = hasCall && (mapped === "stop" || mapped === "other") ? "tool_calls" : mapped;
  return { reason, ...(native !== "" && { native }) };
}

/** Inverse of `decodeFinish`; calls end with STOP. */
function encodeFinish({ reason }: Finish): string {
  switch (reason) {
    case "stop":
    case "tool_calls":
    case "pause":
      return "STOP";
    case "length":
      return "MAX_TOKENS";
    case "content_filter":
    case "refusal":
      return "SAFETY";
    case "other":
    case "error":
      return "OTHER";
  }
}
