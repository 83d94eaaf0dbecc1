import { limitMarks, markPrefixes } from "../../canonical/cache-marks.ts";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { readNativeItem } from "../../canonical/native.ts";
import type { Format, Loss, ModelRequest } from "../../canonical/types.ts";
import {
  isObject,
  type Json,
  type JsonObject,
  numberOf,
  stringifyMember,
  stringOf,
  withoutUndefined,
  lookUp,
} from "../../wire/json.ts";
import type { Encoded, EncodeTarget } from "../dialect.ts";
import { fitUser } from "../fit-user.ts";
import { selectMarks } from "../mark-limit.ts";
import { dropShared } from "../openai/shared-members.ts";
import { decodeMessages, decodeSystem, encodeMessages, encodeSystem } from "./messages.ts";
import { decodeReasoning, encodeReasoning, isUnsignedLoop, modelVersion } from "./reasoning.ts";
import { decodeSampling, encodeSampling } from "./sampling.ts";
import { toSupportedSchema } from "./schema.ts";
import { decodeToolChoice, decodeTools, encodeToolChoice, encodeTools } from "./tools.ts";

const dialect = "anthropic";

/** Decodes a body of `POST /v1/messages`. Throws `request.invalid` if `messages` is no list. */
export function decodeRequest(body: JsonObject): ModelRequest {
  if (body.thread !== undefined && body.thread !== null) throw threadError();
  if (!Array.isArray(body.messages)) throw invalid("messages", "expected a list of messages");
  return withoutUndefined({
    model: stringOf(body.model) ?? "",
    stream: body.stream === true,
    messages: [...decodeSystem(body.system), ...decodeMessages(body.messages)],
    tools: decodeTools(body),
    ...decodeToolChoice(body.tool_choice),
    reasoning: decodeReasoning(body),
    format: decodeFormat(body),
    maxOutput: numberOf(body.max_tokens),
    sampling: decodeSampling(body),
    user: isObject(body.metadata) ? stringOf(body.metadata.user_id) : undefined,
    serviceTier: lookUp(TIERS, stringifyMember(body.service_tier)),
    rest: { dialect, item: body },
  });
}

/**
 * The provider would hold the history of a thread, in an account that tenants share, and it could not go to another model:
 * sessions do that here. The official SDK reads the code and sends the whole conversation (Anthropic SDK, `ThreadState`).
 */
const threadError = (): GatewayError =>
  new GatewayError(
    "request.invalid",
    "thread: expected none: send all messages, or only the new ones with a session id",
    {
      param: "thread",
      word: "thread_unsupported_request",
    },
  );

/**
 * A body that came over this wire retains its other members; any other is built from the canonical members, with cache
 * marks if it has none, and the newest of them if there are more than the API accepts.
 */
export function encodeRequest(decoded: ModelRequest, target: EncodeTarget): Encoded<JsonObject> {
  const own = readNativeItem(decoded.rest, target);
  const request = isObject(own) ? decoded : limitMarks(markPrefixes(decoded, dialect), selectMarks);
  const instructions = encodeSystem(request.messages, target);
  const { value: messages, losses } = encodeMessages(instructions.rest, target);
  losses.unshift(...instructions.losses);
  const system = instructions.value;
  if (isObject(own)) return { value: reuseBody(own, { model: target.model, messages }, system, losses), losses };
  if (messages.length === 0) {
    // The API refuses an empty list ("messages: at least one message is required") and blank texts.
    losses.push({ at: "messages", what: "approximated", why: "anthropic requires a user message beside instructions" });
    messages.push({ role: "user", content: "." });
  }
  return { value: buildBody(request, target, { messages, ...(system !== undefined && { system }) }, losses), losses };
}

/**
 * `system` follows the messages; if the member of the body was empty, it stays. Loss: thinking, where the
 * history lost the signed blocks that a tool loop needs (`isUnsignedLoop`).
 */
function reuseBody(own: JsonObject, members: JsonObject, system: Json | undefined, losses: Loss[]): JsonObject {
  const { system: before, ...rest } = own;
  const isEmpty = decodeSystem(before).length === 0;
  const systemMember = system ?? (isEmpty ? before : undefined);
  const body = { ...rest, ...(systemMember !== undefined && { system: systemMember }), ...members };
  const isBudgeted = isObject(own.thinking) && own.thinking.type === "enabled";
  if (losses.length === 0 || !isBudgeted || !isUnsignedLoop(members.messages as Json[])) return body;
  losses.push({ at: "reasoning", what: "dropped", why: UNSIGNED });
  return Object.fromEntries(Object.entries(body).filter(([member]) => member !== "thinking"));
}

/** Characters of `metadata.user_id` (Anthropic API, Messages). */
const MAX_USER = 256;

/**
 * `max_tokens` is required by the API, so there is always one. Loss: the cache key, which this API does not
 * have.
 */
function buildBody(request: ModelRequest, target: EncodeTarget, members: JsonObject, losses: Loss[]): JsonObject {
  if (request.cacheKey !== undefined)
    losses.push({ at: "prompt_cache_key", what: "dropped", why: "anthropic does not support it" });
  dropShared(request.shared, "anthropic does not support it", losses);
  const version = modelVersion(target.model);
  const tools = encodeTools(request.tools ?? [], target, losses);
  const choice = tools.tools === undefined ? {} : encodeToolChoice(request);
  const blocker = findThinkingBlocker(choice, members.messages as Json[], version);
  const { thinking, effort, maxTokens, thinks } = encodeReasoning(request, target, losses, blocker);
  const output = withoutUndefined({ effort, format: encodeFormat(request.format, losses) }) as JsonObject;
  return withoutUndefined({
    model: target.model,
    max_tokens: maxTokens,
    ...members,
    stream: request.stream || undefined,
    ...tools,
    ...choice,
    thinking,
    output_config: Object.keys(output).length > 0 ? output : undefined,
    ...encodeSampling(request.sampling ?? {}, { thinks, version }, losses),
    metadata: request.user === undefined ? undefined : { user_id: fitUser(request.user, MAX_USER, losses) },
    service_tier: encodeTier(request.serviceTier, losses),
  });
}

/** Reason of the loss (Anthropic API, "Extended thinking": preserving thinking blocks). */
const UNSIGNED = "a tool loop with thinking must start with thinking signed by this provider";

/**
 * The reason why the request cannot think, or `undefined`. The API refuses thinking together with a forced tool
 * call ("Extended thinking": tool use); the call is a contract with the caller, thinking is not, so thinking is
 * dropped. Models with adaptive thinking (406 and later) accept a loop without signatures.
 */
function findThinkingBlocker(choice: JsonObject, messages: Json[], version: number | undefined): string | undefined {
  const forced =
    isObject(choice.tool_choice) && (choice.tool_choice.type === "any" || choice.tool_choice.type === "tool");
  if (forced) return "anthropic does not support thinking with a forced tool call";
  const isAdaptive = version !== undefined && version >= 406;
  return !isAdaptive && isUnsignedLoop(messages) ? UNSIGNED : undefined;
}

/** `output_config.format`; `output_format` was its name in the beta. */
function decodeFormat(body: JsonObject): Format | undefined {
  const format = isObject(body.output_config) ? (body.output_config.format ?? body.output_format) : body.output_format;
  if (!isObject(format) || format.type !== "json_schema") return undefined;
  const title = isObject(format.schema) ? stringOf(format.schema.title) : undefined;
  const name = title !== undefined && /^[a-zA-Z0-9_-]{1,64}$/.test(title) ? title : "answer";
  return { type: "json_schema", name, schema: format.schema ?? {} };
}

/** Loss: JSON without a schema, which the API does not have. */
function encodeFormat(format: Format | undefined, losses: Loss[]): Json | undefined {
  if (format === undefined || format.type === "text") return undefined;
  if (format.type === "json_schema")
    return { type: "json_schema", schema: toSupportedSchema(format.schema, "format", losses) };
  losses.push({ at: "format", what: "dropped", why: "anthropic supports JSON by schema only" });
  return undefined;
}

/**
 * The two values of `service_tier` (Anthropic API, Messages). Priority and flex tiers are contracts of other
 * providers.
 */
const TIERS: Record<string, string> = { auto: "auto", standard_only: "default" };

/** Inverse of `TIERS`. Loss: any other tier. */
function encodeTier(tier: string | undefined, losses: Loss[]): string | undefined {
  if (tier === undefined || tier === "auto") return tier;
  if (tier === "default") return "standard_only";
  losses.push({ at: "service_tier", what: "dropped", why: `anthropic does not support the tier ${tier}` });
  return undefined;
}
