import { invalid } from "../../canonical/error.ts";
import { readNativeItem, readNativeMessage } from "../../canonical/native.ts";
import { effortOf, nearestEffort } from "../../canonical/reasoning.ts";
import type { Format, Loss, Message, ModelRequest, Reasoning } from "../../canonical/types.ts";
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

const dialect = "openai-responses";

/**
 * Decodes a body of `POST /v1/responses`. Throws `request.invalid` if `input` is missing and nothing else (a
 * prompt, a previous response, a conversation) stands for it. `safety_identifier` is the successor of `user`.
 */
export function decodeRequest(body: JsonObject): ModelRequest {
  return withoutUndefined({
    model: stringifyMember(body.model),
    stream: body.stream === true,
    messages: [...decodeInstructions(body.instructions), ...decodeInput(body)],
    tools: decodeTools(body.tools),
    toolChoice: decodeToolChoice(body.tool_choice),
    parallelTools: booleanOf(body.parallel_tool_calls),
    reasoning: decodeReasoning(body.reasoning),
    format: decodeFormat(body.text),
    maxOutput: numberOf(body.max_output_tokens),
    sampling: decodeSampling(body),
    user: stringOf(body.user) ?? stringOf(body.safety_identifier),
    serviceTier: stringOf(body.service_tier),
    cacheKey: stringOf(body.prompt_cache_key),
    shared: decodeShared(body, isObject(body.text) ? body.text.verbosity : undefined),
    rest: { dialect, item: body },
  });
}

/**
 * A body that came over this wire stays as it is, with model, instructions and input of the target. Any other
 * is built from the canonical members, with `store: false`: the gateway stores the conversation, the provider
 * does not.
 */
export function encodeRequest(request: ModelRequest, target: EncodeTarget): Encoded<JsonObject> {
  const { instructions, following } = splitInstructions(request.messages, target);
  const { value: items, losses } = encodeMessages(following, target);
  const own = readNativeItem(request.rest, target);
  if (isObject(own)) {
    const { instructions: before, input: _, ...rest } = own;
    const input = encodeInput(following, items, own);
    const members = { model: target.model, instructions: instructions ?? nonTextOf(before), input };
    return { value: withoutUndefined({ ...rest, ...members }), losses };
  }
  const value: JsonObject = {
    model: target.model,
    ...(instructions !== undefined && { instructions }),
    input: items.filter((item) => isSelfContained(item, losses)),
    store: false,
  };
  const add = (members: JsonObject): unknown => Object.assign(value, members);
  if (request.stream) add({ stream: true });
  add(encodeToolMembers(request, target, losses));
  if (request.reasoning !== undefined) add(encodeReasoning(request.reasoning, request.maxOutput));
  const { verbosity, ...shared } = encodeShared(request.shared, target, losses);
  const format = request.format && encodeFormat(request.format);
  if (format !== undefined || verbosity !== undefined)
    add({ text: withoutUndefined<JsonObject>({ format, verbosity }) });
  if (request.maxOutput !== undefined) add({ max_output_tokens: encodeLimit(request.maxOutput, losses) });
  if (request.sampling !== undefined) add(encodeSampling(request.sampling, losses));
  if (request.user !== undefined) add({ user: fitUser(request.user, MAX_USER, losses) });
  if (request.serviceTier !== undefined) add(encodeTier(request.serviceTier, losses));
  if (request.cacheKey !== undefined) add({ prompt_cache_key: request.cacheKey });
  add(shared);
  const include = listIncluded(value);
  if (include.length > 0) add({ include });
  return { value, losses };
}

/**
 * What the answer has only if the request includes it. Without `store` the API returns reasoning for the next request in
 * this way only (API reference, `include`).
 */
const listIncluded = ({ reasoning, top_logprobs: logprobs }: JsonObject): string[] => [
  ...(reasoning === undefined ? [] : ["reasoning.encrypted_content"]),
  ...(logprobs === undefined ? [] : ["message.output_text.logprobs"]),
];

/** The native item is the member itself, so that it is not mistaken for an item of the list. */
function decodeInstructions(instructions: Json | undefined): Message[] {
  if (typeof instructions !== "string" || instructions === "") return [];
  const native = { dialect, item: { instructions } } as const;
  return [{ role: "system", blocks: [{ kind: "text", text: instructions }], native }];
}

/** Instructions that hold no text stay in the body as they are; `decodeInstructions` makes a message of a text. */
const nonTextOf = (instructions: Json | undefined): Json | undefined =>
  typeof instructions === "string" && instructions !== "" ? undefined : instructions;

/** Leading system messages that are no items of this wire become the member `instructions`. */
function splitInstructions(
  messages: readonly Message[],
  target: EncodeTarget,
): { instructions?: string; following: readonly Message[] } {
  const end = messages.findIndex((message) => !isInstruction(message, target));
  const leading = end < 0 ? messages : messages.slice(0, end);
  if (leading.length === 0) return { following: messages };
  const texts = leading.flatMap(({ blocks }) => blocks.map((block) => (block.kind === "text" ? block.text : "")));
  return { instructions: texts.join("\n\n"), following: messages.slice(leading.length) };
}

/** Text only: the member is a string. A native system item stays in the list. */
function isInstruction(message: Message, target: EncodeTarget): boolean {
  if (message.role !== "system" || message.blocks.some(({ kind }) => kind !== "text")) return false;
  const ownItem = readNativeMessage(message, target);
  return (
    ownItem === undefined || (isObject(ownItem) && ownItem.type === undefined && ownItem.instructions !== undefined)
  );
}

/** `input`: a text or a list of items. It may be absent if other members refer to a context. */
function decodeInput(body: JsonObject): Message[] {
  const { input } = body;
  if (Array.isArray(input)) return decodeMessages(input);
  if (typeof input === "string")
    return [{ role: "user", blocks: [{ kind: "text", text: input }], native: { dialect, item: input } }];
  const isElsewhere = [body.prompt, body.previous_response_id, body.conversation].some(
    (reference) => reference != null,
  );
  if (input != null || !isElsewhere) throw invalid("input", "expected a text or a list of items");
  return [];
}

/** A text stays a text if it is the only message, so that the bytes of the caller do not change. */
function encodeInput(messages: readonly Message[], items: Json[], own: JsonObject): Json | undefined {
  const [only] = messages;
  if (messages.length === 1 && typeof only?.native?.item === "string") return only.native.item;
  return items.length === 0 && !Array.isArray(own.input) ? own.input : items;
}

/**
 * With `store: false` a reasoning item without content refers to nothing: the API answers that it is not found.
 * Loss: such an item.
 */
function isSelfContained(item: Json, losses: Loss[]): boolean {
  if (!isObject(item) || item.type !== "reasoning") return true;
  if (typeof item.encrypted_content === "string" || Array.isArray(item.content)) return true;
  losses.push({ at: "thinking", what: "dropped", why: "without `store` the item is neither stored nor encrypted" });
  return false;
}

/** `reasoning: {effort, summary}` (API reference, Responses: create). */
function decodeReasoning(requested: Json | undefined): Reasoning | undefined {
  if (!isObject(requested)) return undefined;
  const reasoning: Reasoning = withoutUndefined({
    effort: effortOf(requested.effort),
    // The name in the first version of the API.
    summary: stringOf(requested.summary) ?? stringOf(requested.generate_summary),
  });
  return Object.keys(reasoning).length > 0 ? reasoning : undefined;
}

/** A summary mode that this wire does not have becomes `auto`. */
function encodeReasoning({ effort, budget, summary }: Reasoning, maxOutput: number | undefined): JsonObject {
  const requested = effort ?? (budget === undefined ? undefined : nearestEffort(budget, maxOutput));
  const level = summary === undefined ? undefined : SUMMARIES.has(summary) ? summary : "auto";
  if (requested === undefined && level === undefined) return {};
  return {
    reasoning: {
      ...(requested !== undefined && { effort: requested }),
      ...(level !== undefined && { summary: level }),
    },
  };
}

/** Values of `reasoning.summary`. */
const SUMMARIES = new Set(["auto", "concise", "detailed"]);

/** `text.format`. A schema without a name gets one, because other dialects require it. */
function decodeFormat(text: Json | undefined): Format | undefined {
  const format = isObject(text) ? text.format : undefined;
  if (!isObject(format)) return undefined;
  if (format.type === "text") return { type: "text" };
  if (format.type === "json_object") return { type: "json" };
  if (format.type !== "json_schema") return undefined;
  const { name, schema, description, strict } = format;
  return withoutUndefined({
    type: "json_schema" as const,
    name: stringifyMember(name) || "answer",
    schema: schema ?? {},
    description: stringOf(description),
    strict: booleanOf(strict),
  });
}

/** Inverse of `decodeFormat`; the members of the schema are not nested as they are in Chat. */
function encodeFormat(format: Format): JsonObject {
  if (format.type === "text") return { type: "text" };
  if (format.type === "json") return { type: "json_object" };
  const { name, schema, description, strict } = format;
  return withoutUndefined({ type: "json_schema", name, description, schema, strict });
}

/** Minimum of `max_output_tokens` in the API and in its specification. */
const MIN_OUTPUT_TOKENS = 16;

/** Loss: a smaller limit is raised, because the API would refuse the request. */
function encodeLimit(tokens: number, losses: Loss[]): number {
  if (tokens < MIN_OUTPUT_TOKENS)
    losses.push({
      at: "max_output_tokens",
      what: "approximated",
      why: `${dialect} requires at least ${MIN_OUTPUT_TOKENS}`,
    });
  return Math.max(tokens, MIN_OUTPUT_TOKENS);
}

/**
 * Service tiers of OpenAI. Others (`on_demand`, `performance`) are contracts of other hosts, refused here.
 */
const TIERS = new Set(["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]);

/** Loss: a tier of another provider. */
function encodeTier(tier: string, losses: Loss[]): JsonObject {
  if (TIERS.has(tier)) return { service_tier: tier };
  losses.push({ at: "service_tier", what: "dropped", why: `${dialect} does not support the tier ${tier}` });
  return {};
}
