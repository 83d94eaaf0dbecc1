import { GatewayError } from "../../canonical/error.ts";
import type { Block, Finish, ModelRequest, ModelResponse, Native, Usage } from "../../canonical/types.ts";
import { inputTokens } from "../../canonical/usage.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";
import { countOf, type ReplyContext } from "../dialect.ts";
import { decodeStreamError } from "../openai/errors.ts";
import { encodeOutput, responseIdOf } from "./items.ts";
import { decodeMessage } from "./messages.ts";

const dialect = "openai-responses";

/** All output is the assistant's, what its tools answered too. */
export function decodeResponse(body: Json, seal?: string): ModelResponse {
  if (!isObject(body) || !Array.isArray(body.output)) {
    throw new GatewayError("provider.execution_failed", "the provider's answer is not a response");
  }
  if (body.status === "failed") throw decodeStreamError(body);
  const messages = body.output.map((item) => ({ ...decodeMessage(item, seal), role: "assistant" as const }));
  return {
    id: stringifyMember(body.id),
    model: stringifyMember(body.model),
    messages,
    finish: decodeFinish(
      body,
      messages.flatMap(({ blocks }) => blocks),
    ),
    usage: decodeUsage(body.usage),
    rest: decodeEnvelope(body),
  };
}

export function encodeResponse(
  { id, model, messages, finish, usage, rest }: ModelResponse,
  reply: ReplyContext,
): JsonObject {
  const publicId = reply.id ?? responseIdOf(id);
  const output = encodeOutput(messages, publicId);
  return encodeEnvelope({ id: publicId, model, output, finish, usage, rest }, reply);
}

/** `output_text` is the SDKs' word for the output's texts; OpenRouter sends it, empty. */
export function decodeEnvelope({ output: _, output_text: __, ...envelope }: JsonObject): Native {
  return { dialect, item: envelope };
}

/** The parts of a response object that are known; without a finish it is still in progress. */
export type Envelope = {
  id: string;
  model: string;
  output?: JsonObject[];
  finish?: Finish | undefined;
  error?: GatewayError;
  usage?: Usage;
  rest?: Native | undefined;
};

/** Every member that the specification requires: what the host said, else what was asked for, else OpenAI's defaults. */
export function encodeEnvelope(
  { id, model, output = [], finish, error, usage = {}, rest }: Envelope,
  { created, request }: ReplyContext,
): JsonObject {
  const own = rest?.dialect === dialect && isObject(rest.item) ? rest.item : undefined;
  const reason = finish && incompleteReason(finish, output);
  const status =
    error !== undefined
      ? "failed"
      : finish === undefined
        ? "in_progress"
        : reason === undefined
          ? "completed"
          : "incomplete";
  return {
    object: "response",
    created_at: created,
    status,
    completed_at: status === "completed" ? created : null,
    error:
      error === undefined ? null : { code: error.upstream?.code ?? error.word ?? error.code, message: error.message },
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

/** The wire's word for an answer that was cut short; a refusal without words can only be told as filtered. */
export function incompleteReason({ reason }: Finish, output: readonly JsonObject[]): string | undefined {
  if (reason === "length") return "max_output_tokens";
  const hasRefusalPart = output.some(
    ({ content }) => Array.isArray(content) && content.some((part) => isObject(part) && part.type === "refusal"),
  );
  return reason === "content_filter" || (reason === "refusal" && !hasRefusalPart) ? "content_filter" : undefined;
}

/** Decided by what was said: an answer that holds a call asks for its result, whatever the status. */
export function decodeFinish({ status, incomplete_details: details }: JsonObject, blocks: readonly Block[]): Finish {
  const why = isObject(details) ? details.reason : undefined;
  const native = typeof why === "string" ? why : stringifyMember(status);
  if (why === "max_output_tokens" || why === "max_tokens") return { reason: "length", native };
  if (why === "content_filter") return { reason: "content_filter", native };
  if (blocks.some(({ kind }) => kind === "tool_call")) return { reason: "tool_calls", native };
  if (status !== undefined && status !== "completed" && status !== "complete") return { reason: "other", native };
  const hasRefusal = blocks.some((block) => block.kind === "text" && block.refusal);
  return { reason: hasRefusal ? "refusal" : "stop", native };
}

/** `input_tokens` include what was cached; `output_tokens` include reasoning, but not at every host: the total tells. */
export function decodeUsage(usage: Json | undefined): Usage {
  if (!isObject(usage)) return {};
  const input = countOf(usage.input_tokens);
  const output = countOf(usage.output_tokens);
  const inputDetails = isObject(usage.input_tokens_details) ? usage.input_tokens_details : {};
  const outputDetails = isObject(usage.output_tokens_details) ? usage.output_tokens_details : {};
  const cached = countOf(inputDetails.cached_tokens);
  const cacheRead = cached === undefined ? undefined : Math.min(cached, input ?? cached);
  const cacheWrite = countOf(inputDetails.cache_write_tokens);
  const reasoning = countOf(outputDetails.reasoning_tokens);
  const excludesReasoning =
    reasoning !== undefined && countOf(usage.total_tokens) === (input ?? 0) + (output ?? 0) + reasoning;
  return {
    ...(input !== undefined && { fresh: Math.max(0, input - (cacheRead ?? 0) - (cacheWrite ?? 0)) }),
    ...(cacheRead !== undefined && { cacheRead }),
    ...(cacheWrite !== undefined && { cacheWrite }),
    ...(output !== undefined && { output: excludesReasoning ? output + reasoning : output }),
    ...(reasoning !== undefined && { reasoning }),
    native: usage,
  };
}

/** The details are required here, so an unknown count has to be said as 0. */
function encodeUsage(usage: Usage): JsonObject | null {
  const input = inputTokens(usage);
  if (input === undefined && usage.output === undefined) return null;
  const { output = 0, cacheRead = 0, cacheWrite, reasoning = 0 } = usage;
  return {
    input_tokens: input ?? 0,
    input_tokens_details: {
      cached_tokens: cacheRead,
      ...(cacheWrite !== undefined && { cache_write_tokens: cacheWrite }),
    },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: (input ?? 0) + output,
  };
}

/** The request as a response repeats it. It came over this wire, so its body has the words. */
export function echoRequest(request: ModelRequest | undefined): JsonObject {
  const body = bodyOf(request);
  const echoed = Object.entries(DEFAULTS).map(([member, value]) => [member, body[member] ?? value]);
  const tools = Array.isArray(body.tools) ? body.tools.map(echoTool) : [];
  const text = { format: { type: "text" }, ...(isObject(body.text) ? body.text : {}) };
  const reasoning = { effort: null, summary: null, ...(isObject(body.reasoning) ? body.reasoning : {}) };
  return { ...Object.fromEntries(echoed), tools, text, reasoning };
}

/** Where the answer stands. It is said in the request's words: a provider that was sent the whole context knows of no place. */
export function readConversationPosition(request: ModelRequest | undefined): JsonObject {
  const { previous_response_id: previous, conversation, background } = bodyOf(request);
  return {
    ...(previous != null && { previous_response_id: previous }),
    ...(conversation != null && { conversation: isObject(conversation) ? conversation : { id: conversation } }),
    ...(background === true && { background }),
  };
}

const bodyOf = (request: ModelRequest | undefined): JsonObject =>
  request?.rest?.dialect === dialect && isObject(request.rest.item) ? request.rest.item : {};

const DEFAULTS: JsonObject = {
  instructions: null,
  previous_response_id: null,
  tool_choice: "auto",
  parallel_tool_calls: true,
  truncation: "disabled",
  temperature: 1,
  top_p: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  top_logprobs: 0,
  max_output_tokens: null,
  max_tool_calls: null,
  store: true,
  background: false,
  service_tier: "default",
  metadata: {},
  safety_identifier: null,
  prompt_cache_key: null,
};

const echoTool = (tool: Json): Json =>
  isObject(tool) && tool.type === "function" ? { description: null, parameters: null, strict: true, ...tool } : tool;
