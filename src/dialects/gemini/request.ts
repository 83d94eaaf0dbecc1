import { invalid } from "../../canonical/error.ts";
import { readNativeItem } from "../../canonical/native.ts";
import type { Loss, ModelRequest } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringOf, withoutUndefined } from "../../wire/json.ts";
import type { Encoded, EncodeTarget } from "../dialect.ts";
import { dropShared } from "../openai/shared-members.ts";
import { memberName, readMember } from "./casing.ts";
import { decodeConfig, encodeConfig } from "./generation-config.ts";
import { decodeInstructions, decodeMessages, encodeInstructions, encodeMessages } from "./messages.ts";
import { decodeToolChoice, decodeTools, encodeToolChoice, encodeTools } from "./tools.ts";

const dialect = "gemini";

/**
 * Decodes a body of `generateContent`. Model and mode are in the URL (`params`). Throws `request.invalid` if
 * `contents` is neither text, content nor list.
 */
export function decodeRequest(body: JsonObject, params: { model?: string; stream?: boolean } = {}): ModelRequest {
  const { contents } = body;
  if (typeof contents !== "string" && !Array.isArray(contents) && !isObject(contents))
    throw invalid("contents", "expected a list of contents");
  const items: Json[] = Array.isArray(contents) ? contents : [contents];
  return withoutUndefined({
    model: params.model ?? (stringOf(body.model) ?? "").replace(/^models\//, ""),
    stream: params.stream ?? false,
    messages: [...decodeInstructions(readMember(body, "systemInstruction")), ...decodeMessages(items)],
    tools: decodeTools(body.tools),
    toolChoice: decodeToolChoice(readMember(body, "toolConfig")),
    ...decodeConfig(readMember(body, "generationConfig")),
    rest: { dialect, item: body },
  });
}

/**
 * A body that came over this wire keeps its other members; any other is built from the canonical members.
 * Leading system messages become `systemInstruction`. Loss: a request without messages gets a blank one,
 * because the API refuses empty `contents`.
 */
export function encodeRequest(request: ModelRequest, target: EncodeTarget): Encoded<JsonObject> {
  const losses: Loss[] = [];
  const own = readNativeItem(request.rest, target);
  const body = isObject(own) ? own : encodeMembers(request, target, losses);
  const { messages } = request;
  const firstOther = messages.findIndex(({ role }) => role !== "system");
  const leading = firstOther < 0 ? messages.length : firstOther;
  const system = encodeInstructions(messages.slice(0, leading), target, losses);
  const contents = encodeMessages(messages.slice(leading), target);
  losses.push(...contents.losses);
  if (contents.value.length === 0) {
    losses.push({ at: "messages", what: "approximated", why: "gemini requires a user message: a blank one is sent" });
    contents.value.push({ role: "user", parts: [{ text: " " }] });
  }
  // The model is in the URL.
  const { model: _, ...value }: JsonObject = { ...body, contents: contents.value };
  const instructions = memberName(body, "systemInstruction");
  if (system !== undefined) value[instructions] = system;
  else if (isObject(value[instructions]) || typeof value[instructions] === "string") delete value[instructions];
  return { value, losses };
}

/** All members but those of the conversation. Loss: what Gemini does not have. */
function encodeMembers(request: ModelRequest, target: EncodeTarget, losses: Loss[]): JsonObject {
  const { tools = [], toolChoice, parallelTools, user, serviceTier, cacheKey } = request;
  const encoded = encodeTools(tools, target, losses);
  const hasFunctions = tools.some(({ kind }) => kind === "function");
  const drop = (at: string, why: string): unknown => losses.push({ at, what: "dropped", why });
  if (parallelTools === false && hasFunctions)
    drop("parallel_tool_calls", "gemini cannot be limited to one call at a time");
  if (user !== undefined) drop("user", "gemini does not support it");
  if (serviceTier !== undefined && serviceTier !== "auto" && serviceTier !== "default")
    drop("service_tier", "gemini does not support it");
  if (cacheKey !== undefined) drop("prompt_cache_key", "gemini caches by prefix only");
  dropShared(request.shared, "gemini does not support it", losses);
  return {
    ...encoded,
    ...(hasFunctions && encodeToolChoice(toolChoice, tools)),
    ...encodeConfig(request, target.model, losses),
  };
}
