import { invalid } from "../canonical/error.ts";
import type { Message, ModelRequest } from "../canonical/types.ts";
import type { PathParams, WireDialect } from "../dialects/dialect.ts";
import type { Instructions } from "../session/session.ts";
import { isObject, type Json, JsonError, type JsonObject, parseJson } from "../wire/json.ts";
import { findElements, findMembers, isEmptyJson, type Member, sliceSpan } from "../wire/splice.ts";
import { type Surface } from "./index.ts";
import { type RhoneRequest, rhoneRequest } from "./rhone.ts";
import { validate } from "./validate.ts";

/** A request's text and the spans of its top-level members: enough to decide where the request is handled. */
export type RequestText = { text: string; members: Member[]; rhone: RhoneRequest };

/** A decoded and validated request, together with its text. */
export type ParsedRequest = RequestText & {
  surface: Surface;
  outside: PathParams;
  /** The request's JSON without `rhone`, and its canonical form. */
  body: JsonObject;
  request: ModelRequest;
  /** The model's name as the caller wrote it; `rhone.routing.model` wins. */
  model: string;
  stream: boolean;
  /** The list of messages: the JSON text of each, and its canonical form (the last messages of `request`). Same length. */
  items: string[];
  messages: Message[];
  /** Some items differ from the text: items of the gateway's own kind were converted to the wire's format. */
  hasRewrittenItems?: true;
  /** The messages as the client sent them, if results among them were changed or added: the hash of the turn covers these. */
  sent?: readonly Message[];
  /** How many of the items are leading system messages. */
  systemCount: number;
  instructions?: Instructions;
};

/**
 * Splits a request's text into top-level members and reads its `rhone` object, merged with the headers that stand for
 * members of it and, on the gateway's own surface, with top-level members (`rhone` wins). Throws `request.invalid`.
 */
export function readMembers(text: string, headers: Headers, surface?: Surface): RequestText {
  const found = splitMembers(text);
  const topLevel = surface?.isNative ? validate(rhoneRequest, readRhoneMembers(text, found)) : {};
  const member = found.findLast(({ key }) => key === "rhone");
  const rhone = member && validate(rhoneRequest, parseJsonField(sliceSpan(text, member.value), "rhone"), ["rhone"]);
  const fromBody = { ...topLevel, ...rhone };
  return { text, members: found, rhone: { ...fromBody, ...readRhoneHeaders(headers, fromBody) } };
}

/** Headers that set a member of `rhone`. */
const HEADERS = { "x-rhone-session-id": "session_id", "x-rhone-context-mode": "context_mode" } as const;

/** Members given as headers. Throws `request.invalid` for one that contradicts the body: the intent is unknown. */
function readRhoneHeaders(headers: Headers, fromBody: RhoneRequest): RhoneRequest {
  const entries = Object.entries(HEADERS).flatMap(([name, member]) => {
    const value = headers.get(name);
    if (value === null) return [];
    validate(rhoneRequest.shape[member].unwrap(), value, [name]);
    if (fromBody[member] !== undefined && fromBody[member] !== value)
      throw invalid(name, `expected the same as rhone.${member}, or only one of the two`);
    return [[member, value]];
  });
  return Object.fromEntries(entries) as RhoneRequest;
}

/** Top-level members of the text that are members of `rhone`. */
const readRhoneMembers = (text: string, found: readonly Member[]): JsonObject =>
  Object.fromEntries(
    found
      .filter(({ key }) => key in rhoneRequest.shape)
      .map(({ key, value }) => [key, parseJsonField(sliceSpan(text, value), key)]),
  );

/** Decodes and validates the whole request. Throws `request.invalid`, naming the field and what was expected. */
export function parseRequest(requestText: RequestText, surface: Surface, outside: PathParams = {}): ParsedRequest {
  const { text, rhone } = requestText;
  const value = parseJsonField(text, "body");
  if (!isObject(value)) throw invalid("body", "expected a JSON object");
  validate(surface.request, value, []);
  const { rhone: _, ...body } = value;
  const { dialect } = surface;
  const request = dialect.decodeRequest(body, outside);
  const model = rhone.routing?.model ?? request.model;
  if (model === "") throw invalid("model", "expected the name of a model");
  const rawItems = readItems(requestText, dialect);
  const items = rawItems.map((item) => dialect.layout.toPortableItem?.(item) ?? item);
  const hasRewrittenItems = items.some((item, i) => item !== rawItems[i]);
  const messages = request.messages.slice(request.messages.length - items.length);
  const firstOther = messages.findIndex(({ role }) => role !== "system");
  const systemCount = firstOther < 0 ? messages.length : firstOther;
  const instructions = readInstructions(requestText, dialect, items.slice(0, systemCount));
  return {
    ...requestText,
    surface,
    outside,
    body,
    request,
    model,
    stream: request.stream,
    items,
    messages,
    systemCount,
    ...(hasRewrittenItems && { hasRewrittenItems }),
    ...(instructions !== undefined && { instructions }),
  };
}

/** The JSON text of each message. A bare string or a single object counts as a list of one. */
function readItems({ text, members }: RequestText, { layout }: WireDialect): string[] {
  const member = members.findLast(({ key }) => key === layout.items || key === layout.itemsAlias);
  if (member === undefined) return [];
  const { value } = member;
  if (text[value.start] === "[") return findElements(text, value.start).map((span) => sliceSpan(text, span));
  const one = sliceSpan(text, value);
  if (isEmptyJson(one)) return [];
  return [one.startsWith("{") || layout.itemFromText === undefined ? one : layout.itemFromText(one)];
}

/** The system text: the wire's own member for it, and leading system messages. `undefined` if it has neither. */
function readInstructions(
  { text, members }: RequestText,
  { id, layout }: WireDialect,
  leadingItems: readonly string[],
): Instructions | undefined {
  const member = members.findLast(({ key }) => layout.instructions?.includes(key));
  const isPresent = member !== undefined && !isEmptyJson(sliceSpan(text, member.value));
  if (!isPresent && leadingItems.length === 0) return undefined;
  return {
    dialect: id,
    ...(isPresent && { member: { key: member.key, json: sliceSpan(text, member.value) } }),
    ...(leadingItems.length > 0 && { items: leadingItems.join(",") }),
  };
}

/** The top-level members. Throws `request.invalid` for text that is no JSON object. */
function splitMembers(text: string): Member[] {
  try {
    return findMembers(text);
  } catch (cause) {
    // The scanner sees the top level only; the full parser gives the better error message.
    if (!isObject(parseJsonField(text, "body"))) throw invalid("body", "expected a JSON object");
    throw cause;
  }
}

/** Parses the JSON text of a field. Throws `request.invalid` naming the field. */
export function parseJsonField(text: string, field: string): Json {
  try {
    return parseJson(text);
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw invalid(field, `invalid JSON: ${cause.message}`);
  }
}
