import { invalid } from "../../canonical/error.ts";
import { readNativeItem } from "../../canonical/native.ts";
import { effortOf } from "../../canonical/reasoning.ts";
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
import { dropShared } from "../openai/shared-members.ts";
import { decodeInstructions, decodeMessages, encodeInstructions, encodeMessages } from "./messages.ts";
import { decodeSampling, encodeSampling } from "./sampling.ts";
import { decodeToolChoice, decodeTools, encodeToolChoice, encodeTools } from "./tools.ts";

const dialect = "native";

/** Decodes a body of `POST /v1/calls`. Throws `request.invalid` if there is no input. */
export function decodeRequest(body: JsonObject): ModelRequest {
  return withoutUndefined({
    model: stringOf(body.model) ?? "",
    stream: body.stream === true,
    messages: [...decodeInstructions(body.instructions ?? undefined), ...decodeInput(body)],
    tools: decodeTools(body.tools),
    toolChoice: decodeToolChoice(body.tool_choice),
    parallelTools: booleanOf(body.parallel_tools),
    reasoning: decodeReasoning(body.reasoning),
    format: decodeFormat(body.format),
    maxOutput: numberOf(body.max_output_tokens),
    sampling: decodeSampling(body),
    user: stringOf(body.user),
    serviceTier: stringOf(body.service_tier),
    cacheKey: stringOf(body.cache_key),
    rest: { dialect, item: body },
  });
}

/**
 * A body that came over this wire keeps its other members; any other is built from the canonical members. The
 * only loss is the number of answers.
 */
export function encodeRequest(request: ModelRequest, target: EncodeTarget): Encoded<JsonObject> {
  const losses: Loss[] = [];
  const own = readNativeItem(request.rest, target);
  if (isObject(own)) {
    const { member, rest } = encodeInstructions(request.messages, target);
    const { instructions: before, ...body } = own;
    const instructions = member ?? (decodeInstructions(before ?? undefined).length === 0 ? before : undefined);
    // `blocks` is a second name of `input`; the body retains its own.
    const list = own.input === undefined && own.blocks !== undefined ? "blocks" : "input";
    const { value } = encodeMessages(rest, target);
    const encoded = withoutUndefined({ ...body, model: target.model, instructions, [list]: value });
    return { value: encoded, losses };
  }
  const sampling = encodeSampling(request.sampling ?? {}, losses);
  dropShared(request.shared, "the gateway's own API does not have it", losses);
  const value = withoutUndefined({
    model: target.model,
    input: encodeMessages(request.messages, target).value,
    stream: request.stream || undefined,
    tools: encodeTools(request.tools, target),
    tool_choice: encodeToolChoice(request.toolChoice),
    parallel_tools: request.parallelTools,
    reasoning: encodeReasoning(request.reasoning),
    format: request.format,
    max_output_tokens: request.maxOutput,
    ...sampling,
    user: request.user,
    service_tier: request.serviceTier,
    cache_key: request.cacheKey,
  });
  return { value, losses };
}

/** A text, a block, or a list of texts and blocks. */
function decodeInput({ input, blocks }: JsonObject): Message[] {
  const list = input ?? blocks;
  if (list === undefined || list === null) throw invalid("input", "expected a text or at least one block");
  return decodeMessages([list].flat());
}

/** `{effort, budget_tokens, summary}`; each member is optional. */
function decodeReasoning(reasoning: Json | undefined): Reasoning | undefined {
  if (!isObject(reasoning)) return undefined;
  return withoutUndefined({
    effort: effortOf(reasoning.effort),
    budget: numberOf(reasoning.budget_tokens),
    summary: stringOf(reasoning.summary),
  });
}

/** Inverse of `decodeReasoning`. */
function encodeReasoning(reasoning: Reasoning | undefined): JsonObject | undefined {
  if (reasoning === undefined) return undefined;
  const { effort, budget, summary } = reasoning;
  return withoutUndefined({ effort, budget_tokens: budget, summary });
}

/**
 * `{type: "text" | "json"}` or `{type: "json_schema", name, schema, description, strict}`. A schema without a
 * name gets one, because other dialects require it.
 */
function decodeFormat(format: Json | undefined): Format | undefined {
  if (!isObject(format)) return undefined;
  if (format.type === "text" || format.type === "json") return { type: format.type };
  if (format.type !== "json_schema") return undefined;
  return withoutUndefined({
    type: "json_schema" as const,
    name: stringifyMember(format.name) || "answer",
    schema: format.schema ?? {},
    description: stringOf(format.description),
    strict: booleanOf(format.strict),
  });
}
