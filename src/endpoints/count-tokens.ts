import { GatewayError, unprocessable } from "../canonical/error.ts";
import type { Dialect } from "../canonical/types.ts";
import { translatesTools } from "../dialects/fit-tools.ts";
import { toEncodeTarget } from "../gateway/call/upstream-call.ts";
import { encodeBody, spliceBody } from "../gateway/request-body.ts";
import type { Catalogue } from "../providers/catalogue.ts";
import type { Target } from "../routing/locate.ts";
import type { Context } from "../session/session.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import { isObject, type Json, type JsonObject, parseJson } from "../wire/json.ts";
import { appendMember, findMembers, replaceMember, splice } from "../wire/splice.ts";
import type { PreparedRequest } from "./call-endpoint.ts";
import { geminiEndpointPath } from "./endpoint.ts";

/** Token counting of one dialect. */
type Counter = {
  /** Below the provider's base URL. */
  path: (target: Target) => string;
  /** From the body of a generation. */
  encodeBody: (generation: JsonObject, target: Target) => JsonObject;
  /** The number of tokens in the provider's answer. */
  decodeCount: (answer: JsonObject) => Json | undefined;
  /** The answer for a caller of this dialect. */
  encodeCount: (tokens: number) => JsonObject;
};

const pickMembers = (members: readonly string[], body: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(body).filter(([member]) => members.includes(member)));

/**
 * Members that the counting endpoints accept, as in the providers' API references. Any other is refused there: "Extra
 * inputs are not permitted".
 */
const ANTHROPIC_MEMBERS = [
  "model",
  "messages",
  "system",
  "tools",
  "tool_choice",
  "thinking",
  "output_config",
  "mcp_servers",
];
const OPENAI_MEMBERS = [
  "model",
  "input",
  "instructions",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "text",
  "reasoning",
  "truncation",
];

const VERTEX_MEMBERS = ["contents", "systemInstruction", "tools", "generationConfig"];

const COUNTERS: Partial<Record<Dialect, Counter>> = {
  anthropic: {
    path: () => "/messages/count_tokens",
    encodeBody: (body) => pickMembers(ANTHROPIC_MEMBERS, body),
    decodeCount: ({ input_tokens }) => input_tokens,
    encodeCount: (tokens) => ({ input_tokens: tokens }),
  },
  "openai-responses": {
    path: () => "/responses/input_tokens",
    encodeBody: (body) => pickMembers(OPENAI_MEMBERS, body),
    decodeCount: ({ input_tokens }) => input_tokens,
    encodeCount: (tokens) => ({ object: "response.input_tokens", input_tokens: tokens }),
  },
  gemini: {
    path: (target) => geminiEndpointPath(target, "countTokens"),
    // Gemini counts instructions and tools only inside `generateContentRequest`; Vertex takes them at the top level.
    encodeBody: (body, { provider, model }) =>
      provider.cloud === "vertex"
        ? pickMembers(VERTEX_MEMBERS, body)
        : { generateContentRequest: { model: `models/${model}`, ...body } },
    decodeCount: ({ totalTokens }) => totalTokens,
    encodeCount: (tokens) => ({ totalTokens: tokens }),
  },
};

/** The embedded demo provider counts the words of a Chat request. */
const DEMO: Counter = { ...COUNTERS["openai-responses"]!, path: () => "/input_tokens", encodeBody: (body) => body };

/**
 * Prepares the request by which the provider counts a call's tokens, including the history that the session would add:
 * over the caller's dialect if the provider counts in it, else over another of the provider's. Throws
 * `request.unprocessable` if the provider cannot count: an estimate would pass for an exact number. `around` wraps the body
 * again if the request came inside a member (Gemini's `generateContentRequest`).
 */
export function prepareCount(
  request: ParsedRequest,
  context: Context,
  { planned, describe, around }: CountTarget,
): PreparedRequest {
  const target = countingTarget(planned, request.surface.dialect.id);
  const counter = target.provider.id === "demo" ? DEMO : COUNTERS[target.dialect];
  const isOnCloud = target.provider.cloud !== undefined && target.dialect !== "gemini";
  if (counter === undefined || isOnCloud) throw cannotCount(target);
  const path = counter.path(target);
  const encodeTarget = { ...toEncodeTarget(target), traits: describe(target) };
  const { instructions } = context;
  const isSplicable =
    request.addedBytes === undefined &&
    target.dialect === request.surface.dialect.id &&
    (instructions === undefined || instructions.dialect === target.dialect) &&
    !translatesTools(request.request, encodeTarget);
  const { body, ...encoded } = isSplicable
    ? spliceBody(request, context, encodeTarget)
    : encodeBody(request, context, encodeTarget);
  const losses = [...(context.losses ?? []), ...encoded.losses];
  if (isSplicable) return { target, path, body: { text: wrapCount(body, around, context, target) }, losses };
  const text = JSON.stringify(counter.encodeBody(parseJson(body) as JsonObject, target));
  const translate = translateCount(counter, COUNTERS[request.surface.dialect.id]!);
  return { target, path, body: { text }, losses, translate };
}

/** `describe`: what is known of a target's model. `around`: see `prepareCount`. */
type CountTarget = {
  planned: Target;
  describe: Catalogue["describe"];
  around?: ((body: string) => string) | undefined;
};

/** Gemini's request inside `generateContentRequest`, if it came so or has instructions, which count only there. */
function wrapCount(
  body: string,
  around: ((body: string) => string) | undefined,
  { instructions }: Context,
  target: Target,
): string {
  const isBare = target.dialect === "gemini" && target.provider.cloud === undefined && instructions !== undefined;
  const wrap = around ?? (isBare ? (whole: string) => `{"generateContentRequest":${whole}}` : undefined);
  return wrap?.(withModelName(body, target.model)) ?? body;
}

/** Converts the provider's count to the caller's format. */
const translateCount =
  (counter: Counter, surface: Counter): NonNullable<PreparedRequest["translate"]> =>
  (answer) => {
    const tokens = isObject(answer) ? counter.decodeCount(answer) : undefined;
    if (typeof tokens === "number") return { value: surface.encodeCount(tokens), usage: {} };
    throw new GatewayError("provider.execution_failed", "the provider's answer has no token count");
  };

/** The body with the model's name: inside `generateContentRequest` Gemini requires it again. */
function withModelName(body: string, model: string): string {
  const all = findMembers(body);
  const name = JSON.stringify(`models/${model}`);
  const edits = replaceMember(all, "model", name);
  return splice(body, edits.length > 0 ? edits : [appendMember(body, "model", name)]);
}

/** The target with a dialect in which its provider can count, the caller's if possible. */
function countingTarget(planned: Target, surface: Dialect): Target {
  const { dialects, cloud: host } = planned.provider;
  // On a cloud (Vertex, Bedrock, …) the model determines the dialect.
  if (host !== undefined) return planned;
  const dialect = [surface, ...dialects].find((one) => dialects.includes(one) && COUNTERS[one] !== undefined);
  return dialect === undefined ? planned : { ...planned, dialect };
}

const cannotCount = ({ provider }: Target): GatewayError =>
  unprocessable("model", `provider ${provider.id} cannot count tokens`);
