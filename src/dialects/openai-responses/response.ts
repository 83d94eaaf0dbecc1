import { GatewayError } from "../../canonical/error.ts";
import type { Block, Finish, ModelResponse, Native, Usage } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";
import { AnswerCalls } from "../answer-calls.ts";
import { type ReplyContext } from "../dialect.ts";
import { findErrorBody } from "../error-body.ts";
import { decodeStreamError } from "../openai/errors.ts";
import { encodeOutput, responseIdOf } from "./items.ts";
import { decodeMessage } from "./messages.ts";
import { echoRequest, readConversationPosition } from "./required-members.ts";
import { identifyCall } from "./tool-calls.ts";
import { decodeUsage, encodeUsage } from "./usage.ts";

const dialect = "openai-responses";

/**
 * Every output item belongs to the assistant, outputs of hosted tools too. Throws the error of the body if it is one or
 * its status is `failed`, and `provider.execution_failed` if there is no output.
 */
export function decodeResponse(body: Json, seal?: string, callId?: string): ModelResponse {
  const failed = isObject(body) && body.status === "failed" ? body : findErrorBody(body);
  if (failed !== undefined) throw decodeStreamError(failed);
  if (!isObject(body) || !Array.isArray(body.output)) {
    throw new GatewayError("provider.execution_failed", "the provider's answer is not a valid OpenAI response");
  }
  const calls = new AnswerCalls(callId);
  const output = body.output.flatMap((item) => identifyCall(item, calls) ?? []);
  const messages = output.map((item) => ({ ...decodeMessage(item, seal), role: "assistant" as const }));
  const blocks = messages.flatMap((message) => message.blocks);
  return {
    id: stringifyMember(body.id),
    model: stringifyMember(body.model),
    messages,
    ...calls.finish(decodeFinish(body, blocks), blocks),
    usage: decodeUsage(body.usage),
    rest: decodeEnvelope(body),
  };
}

/**
 * The public id is the one that the gateway assigned; without one it follows from the id of the provider.
 */
export function encodeResponse(
  { id, model, messages, finish, usage, rest }: ModelResponse,
  reply: ReplyContext,
): JsonObject {
  const publicId = reply.id ?? responseIdOf(id);
  const output = encodeOutput(messages, publicId);
  return encodeEnvelope({ id: publicId, model, output, finish, usage, rest }, reply);
}

/** `output_text` is a convenience member of the SDKs; OpenRouter sends it empty. */
export function decodeEnvelope({ output: _, output_text: __, ...envelope }: JsonObject): Native {
  return { dialect, item: envelope };
}

/** The known facts of a response. Without `finish` and `error` it is in progress. */
export type Envelope = {
  id: string;
  model: string;
  output?: JsonObject[];
  finish?: Finish | undefined;
  error?: GatewayError;
  usage?: Usage;
  rest?: Native | undefined;
};

/**
 * All members that the specification requires, in this precedence: the host, the request, the defaults of
 * OpenAI.
 */
export function encodeEnvelope(
  { id, model, output = [], finish, error, usage = {}, rest }: Envelope,
  { created, request }: ReplyContext,
): JsonObject {
  const own = rest?.dialect === dialect && isObject(rest.item) ? rest.item : undefined;
  const reason = finish && incompleteReason(finish, output);
  const status = readStatus(error, finish, reason);
  return {
    object: "response",
    created_at: created,
    status,
    completed_at: status === "completed" ? created : null,
    error: error === undefined ? null : encodeFailure(error),
    incomplete_details: reason === undefined ? null : { reason },
    ...echoRequest(request),
    ...own,
    ...readConversationPosition(request),
    id,
    model,
    output,
    usage: own === undefined ? encodeUsage(usage) : (usage.native ?? null),
  };
}

/** `reason`: that of `incomplete_details`. */
function readStatus(
  error: GatewayError | undefined,
  finish: Finish | undefined,
  reason: string | undefined,
): "failed" | "in_progress" | "completed" | "incomplete" {
  if (error !== undefined) return "failed";
  if (finish === undefined) return "in_progress";
  return reason === undefined ? "completed" : "incomplete";
}

/** The member `error` of a response: a code and a message, without the other members that `errorMembers` has. */
const encodeFailure = ({ upstream, word, code, message }: GatewayError): JsonObject => ({
  code: upstream?.code ?? word ?? code,
  message,
});

/** Statuses of a response that ended without its answer, or has not ended. */
const UNFINISHED: ReadonlySet<Json> = new Set(["failed", "cancelled", "in_progress", "queued"]);

/** The content takes precedence over the status: an answer with a call is waiting for its result. */
export function decodeFinish({ status, incomplete_details: details }: JsonObject, blocks: readonly Block[]): Finish {
  const why = isObject(details) ? details.reason : undefined;
  const native = typeof why === "string" ? why : stringifyMember(status);
  if (why === "max_output_tokens" || why === "max_tokens") return { reason: "length", native };
  if (why === "content_filter") return { reason: "content_filter", native };
  if (UNFINISHED.has(status ?? null)) return { reason: "error", native };
  if (blocks.some(({ kind }) => kind === "tool_call")) return { reason: "tool_calls", native };
  // Cut for another reason than the two above, or for none that the host names.
  if (status === "incomplete") return { reason: "length", native };
  if (status !== undefined && status !== "completed" && status !== "complete") return { reason: "other", native };
  const hasRefusal = blocks.some((block) => block.kind === "text" && block.refusal);
  return { reason: hasRefusal ? "refusal" : "stop", native };
}

/**
 * `incomplete_details.reason` of an answer that was cut; `undefined` if it is complete. A refusal without text
 * has no other representation than `content_filter`.
 */
export function incompleteReason({ reason }: Finish, output: readonly JsonObject[]): string | undefined {
  if (reason === "length") return "max_output_tokens";
  const hasRefusalPart = output.some(
    ({ content }) => Array.isArray(content) && content.some((part) => isObject(part) && part.type === "refusal"),
  );
  return reason === "content_filter" || (reason === "refusal" && !hasRefusalPart) ? "content_filter" : undefined;
}
