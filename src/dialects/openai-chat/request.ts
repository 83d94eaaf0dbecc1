import { invalid } from "../../canonical/error.ts";
import { readNativeItem } from "../../canonical/native.ts";
import { effortOf, nearestEffort } from "../../canonical/reasoning.ts";
import type { Format, Loss, ModelRequest, Reasoning } from "../../canonical/types.ts";
import {
  booleanOf,
  isObject,
  type Json,
  type JsonObject,
  numberOf,
  stringifyMember,
  stringOf,
  withoutUndefined,
} from "../../wire/json.ts";
import type { Encoded, EncodeTarget } from "../dialect.ts";
import { fitUser } from "../fit-user.ts";
import { decodeShared, encodeShared } from "../openai/shared-members.ts";
import { MAX_USER } from "../openai/user.ts";
import { decodeMessages, encodeMessages } from "./messages.ts";
import { decodeSampling, encodeSampling } from "./sampling.ts";
import { decodeToolChoice, decodeTools, encodeToolMembers } from "./tools.ts";

const dialect = "openai-chat";

/**
 * Decodes a body of `POST /v1/chat/completions`. Deprecated members (`functions`, `function_call`,
 * `max_tokens`) are read where their successors are absent. Throws `request.invalid` if `messages` is no list.
 */
export function decodeRequest(body: JsonObject): ModelRequest {
  if (!Array.isArray(body.messages)) throw invalid("messages", "expected a list of messages");
  return withoutUndefined({
    model: typeof body.model === "string" ? body.model : "",
    stream: body.stream === true,
    messages: decodeMessages(body.messages),
    tools: decodeTools(body),
    toolChoice: decodeToolChoice(body.tool_choice ?? body.function_call),
    parallelTools: booleanOf(body.parallel_tool_calls),
    reasoning: decodeReasoning(body),
    format: decodeFormat(body.response_format),
    maxOutput: numberOf(body.max_completion_tokens) ?? numberOf(body.max_tokens),
    sampling: decodeSampling(body),
    user: stringOf(body.user) ?? stringOf(body.safety_identifier),
    serviceTier: stringOf(body.service_tier),
    cacheKey: stringOf(body.prompt_cache_key),
    shared: decodeShared(body, body.verbosity),
    rest: { dialect, item: body },
  });
}

/**
 * A body that came over this wire stays as it is, with the model and the messages of the target. Any other is
 * built from the canonical members.
 */
export function encodeRequest(request: ModelRequest, target: EncodeTarget): Encoded<JsonObject> {
  const { value: messages, losses } = encodeMessages(request.messages, target);
  const own = readNativeItem(request.rest, target);
  if (isObject(own)) return { value: { ...own, model: target.model, messages }, losses };
  // The API refuses an empty list ("[] is too short - 'messages'"). This happens if a request has nothing that
  // the wire can represent.
  if (messages.length === 0) messages.push({ role: "user", content: "" });
  const value: JsonObject = { model: target.model, messages };
  const add = (members: JsonObject): unknown => Object.assign(value, members);
  // Without `include_usage` the API sends no token counts in a stream, and a call could not be priced.
  if (request.stream) add({ stream: true, stream_options: { include_usage: true } });
  add(encodeToolMembers(request, target, losses));
  if (request.reasoning !== undefined) add(encodeReasoning(request.reasoning, request.maxOutput, target, losses));
  if (request.format !== undefined) add(encodeFormat(request.format, target, losses));
  if (request.maxOutput !== undefined)
    add({ [target.quirks?.outputLimit ?? "max_completion_tokens"]: request.maxOutput });
  if (request.sampling !== undefined) add(encodeSampling(request.sampling, target, losses));
  if (request.user !== undefined) add({ user: fitUser(request.user, MAX_USER, losses) });
  if (request.serviceTier !== undefined) add({ service_tier: request.serviceTier });
  if (request.cacheKey !== undefined) add({ prompt_cache_key: request.cacheKey });
  add(encodeShared(request.shared, target, losses));
  return { value: dropRefused(value, target, losses), losses };
}

/**
 * Removes the members in `quirks.lacks`. `stream_options` is set by the gateway, not the caller, so dropping it
 * is no loss.
 */
function dropRefused(value: JsonObject, { quirks }: EncodeTarget, losses: Loss[]): JsonObject {
  const { lacks = [] } = quirks ?? {};
  const refused = Object.keys(value).filter((member) => lacks.includes(member));
  for (const at of refused)
    if (at !== "stream_options") losses.push({ at, what: "dropped", why: "the provider does not support it" });
  return Object.fromEntries(Object.entries(value).filter(([member]) => !refused.includes(member)));
}

/** `reasoning_effort` is of OpenAI, as an object of LiteLLM's clients; `reasoning: {effort, max_tokens, enabled}` is of OpenRouter. */
function decodeReasoning(body: JsonObject): Reasoning | undefined {
  const requested = isObject(body.reasoning) ? body.reasoning : {};
  const { reasoning_effort: named } = body;
  const { effort, summary }: JsonObject = isObject(named) ? named : { effort: named ?? null };
  const reasoning: Reasoning = withoutUndefined({
    effort:
      effortOf(effort) ??
      effortOf(requested.effort) ??
      (typeof requested.enabled === "boolean" ? (requested.enabled ? "medium" : "none") : undefined),
    budget: numberOf(requested.max_tokens),
    summary: stringOf(summary),
  });
  return Object.keys(reasoning).length > 0 ? reasoning : undefined;
}

/**
 * The wire has efforts only: a budget in tokens becomes the nearest effort. Loss: a summary, which OpenAI's own models
 * return in Responses only; others return their reasoning in any case.
 */
function encodeReasoning(
  { effort, budget, summary }: Reasoning,
  maxOutput: number | undefined,
  { quirks }: EncodeTarget,
  losses: Loss[],
): JsonObject {
  if (summary !== undefined && quirks?.sharedMembers === true)
    losses.push({ at: "reasoning.summary", what: "dropped", why: `${dialect} has no summaries` });
  const requested = effort ?? (budget === undefined ? undefined : nearestEffort(budget, maxOutput));
  return requested === undefined ? {} : { reasoning_effort: requested };
}

/** `response_format`. A schema without a name gets one, because other dialects require it. */
function decodeFormat(format: Json | undefined): Format | undefined {
  if (!isObject(format)) return undefined;
  if (format.type === "text") return { type: "text" };
  if (format.type === "json_object") return { type: "json" };
  const named = isObject(format.json_schema) ? format.json_schema : isObject(format.schema) ? format : undefined;
  if (format.type !== "json_schema" || named === undefined) return undefined;
  const { name, schema, description, strict } = named;
  return withoutUndefined({
    type: "json_schema" as const,
    name: stringifyMember(name) || "answer",
    schema: schema ?? {},
    description: stringOf(description),
    strict: booleanOf(strict),
  });
}

/** Loss: a host without schemas (`lacksSchema`) gets the weaker `json_object`. */
function encodeFormat(format: Format, { quirks }: EncodeTarget, losses: Loss[]): JsonObject {
  if (format.type === "text") return { response_format: { type: "text" } };
  if (format.type === "json") return { response_format: { type: "json_object" } };
  if (quirks?.lacksSchema) {
    losses.push({
      at: "response_format",
      what: "approximated",
      why: "the provider does not support schemas: sent as json_object",
    });
    return { response_format: { type: "json_object" } };
  }
  const { name, schema, description, strict } = format;
  return {
    response_format: {
      type: "json_schema",
      json_schema: withoutUndefined({ name, description, schema, strict }) as JsonObject,
    },
  };
}
