import { invalid } from "../canonical/error.ts";
import type { Loss, Message, ModelRequest } from "../canonical/types.ts";
import type { PathParams, WireDialect } from "../dialects/dialect.ts";
import type { Instructions } from "../session/session.ts";
import { isObject, type Json, JsonError, type JsonObject, parseJson, parseShallow } from "../wire/json.ts";
import { type ScannedMember, type ScannedObject, scanObject } from "../wire/scan.ts";
import { isEmptyJson, type Member, sliceSpan } from "../wire/splice.ts";
import { type Surface } from "./index.ts";
import { callOptions, type RhoneRequest, rhoneRequest } from "./rhone.ts";
import { validate } from "./validate.ts";

/**
 * A request's text as one scan of it has found: its top-level members, enough to decide where the request is handled.
 * `losses`: defaults of its session that the surface cannot express.
 */
export type RequestText = ScannedObject & { text: string; rhone: RhoneRequest; losses?: Loss[] };

/** What a request means. It is found when it is first needed: a relayed call needs none of it. */
type Meaning = {
  /** The request's JSON without `rhone`, and its canonical form. */
  body: JsonObject;
  request: ModelRequest;
  /** The list of messages: the JSON text of each, and its canonical form (the last messages of `request`). Same length. */
  items: string[];
  messages: Message[];
  /** How many of the items are leading system messages. */
  systemCount: number;
  instructions?: Instructions | undefined;
  /** Some items differ from the text: items of the gateway's own kind were converted to the wire's format. */
  hasRewrittenItems?: true;
  /** UTF-8 bytes of what the request has beside its text: see `extendRequest`. */
  addedBytes?: number;
  /** The messages as the client sent them, if results among them were changed or added: the hash of the turn covers these. */
  sent?: readonly Message[];
};

type RequestParts = RequestText & { surface: Surface; outside: PathParams; model: string; stream: boolean };

/**
 * A request, and its meaning. Immutable: `with` makes a changed one, `withOptions` one with another `rhone` object or mode, and
 * `extendRequest` one with more tools.
 */
export class ParsedRequest {
  readonly text: string;
  readonly members: readonly ScannedMember[];
  readonly rhone: RhoneRequest;
  readonly losses: readonly Loss[];
  readonly surface: Surface;
  readonly outside: PathParams;
  /** The model's name as the caller wrote it; `rhone.routing.model` wins. */
  readonly model: string;
  readonly stream: boolean;
  /** Whether the meaning is that of the text. */
  readonly isUnchanged: boolean;
  readonly #parts: RequestParts;
  readonly #decode: () => Meaning;
  #meaning: Meaning | undefined;

  constructor(parts: RequestParts, decode: () => Meaning, isUnchanged: boolean) {
    this.text = parts.text;
    this.members = parts.members;
    this.rhone = parts.rhone;
    this.losses = parts.losses ?? [];
    this.surface = parts.surface;
    this.outside = parts.outside;
    this.model = parts.model;
    this.stream = parts.stream;
    this.isUnchanged = isUnchanged;
    this.#parts = parts;
    this.#decode = decode;
  }

  /** Decodes and validates the whole request, once. Throws `request.invalid`, naming the field and what was expected. */
  get meaning(): Meaning {
    return (this.#meaning ??= this.#decode());
  }

  get body(): JsonObject {
    return this.meaning.body;
  }

  get request(): ModelRequest {
    return this.meaning.request;
  }

  get items(): readonly string[] {
    return this.meaning.items;
  }

  get messages(): readonly Message[] {
    return this.meaning.messages;
  }

  get systemCount(): number {
    return this.meaning.systemCount;
  }

  get instructions(): Instructions | undefined {
    return this.meaning.instructions;
  }

  get sent(): readonly Message[] | undefined {
    return this.meaning.sent;
  }

  /** As in `Meaning`. A request that is not decoded has no such items. */
  get hasRewrittenItems(): boolean {
    return this.isDecoded && this.meaning.hasRewrittenItems === true;
  }

  /** As in `Meaning`; undefined: the text is all of it. */
  get addedBytes(): number | undefined {
    return this.isDecoded ? this.meaning.addedBytes : undefined;
  }

  get isDecoded(): boolean {
    return this.#meaning !== undefined;
  }

  /** This request with another meaning. */
  with(changes: Partial<Meaning>): ParsedRequest {
    const meaning = { ...this.meaning, ...changes };
    const changed = new ParsedRequest(this.#parts, () => meaning, false);
    changed.#meaning = meaning;
    return changed;
  }

  /** This request with another `rhone` object, or another mode. */
  withOptions(options: Partial<Pick<RequestParts, "rhone" | "stream">>): ParsedRequest {
    const changed = new ParsedRequest({ ...this.#parts, ...options }, () => this.meaning, this.isUnchanged);
    changed.#meaning = this.#meaning;
    return changed;
  }
}

/**
 * Splits a request's text into top-level members and reads its `rhone` object, merged with the headers that stand for
 * members of it and, on the gateway's own surface, with top-level members (`rhone` wins). Throws `request.invalid`.
 */
export function readMembers(text: string, headers: Headers, surface?: Surface): RequestText {
  const found = scanRequest(text);
  const topLevel = surface?.isNative ? validate(callOptions, readCallOptions(text, found.members)) : {};
  const member = found.members.findLast(({ key }) => key === "rhone");
  const rhone = member && validate(rhoneRequest, parseJsonField(sliceSpan(text, member.value), "rhone"), ["rhone"]);
  const fromBody = { ...topLevel, ...rhone };
  return { text, ...found, rhone: { ...fromBody, ...readRhoneHeaders(headers, fromBody) } };
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

/** Top-level members of the text that stand for members of `rhone`. */
const readCallOptions = (text: string, found: readonly Member[]): JsonObject =>
  Object.fromEntries(
    found
      .filter(({ key }) => key in callOptions.shape)
      .map(({ key, value }) => [key, parseJsonField(sliceSpan(text, value), key)]),
  );

/** Decodes and validates the whole request. Throws `request.invalid`, naming the field and what was expected. */
export function parseRequest(requestText: RequestText, surface: Surface, outside: PathParams = {}): ParsedRequest {
  const meaning = decodeMeaning(requestText, surface, outside);
  const parsed = createRequest(requestText, surface, outside, () => meaning);
  void parsed.meaning;
  return parsed;
}

/**
 * The request, of which only the model's name and the mode are read and checked. What else it means is decoded and
 * validated at its first use; if it is only relayed, its provider is the judge of it. Requests that may refer to stored
 * state, and those of the gateway's own API, which no provider knows, are decoded at once.
 */
export function openRequest(requestText: RequestText, surface: Surface, outside: PathParams = {}): ParsedRequest {
  const { layout } = surface.dialect;
  if (surface.isNative || layout.mayHaveReferences !== undefined || layout.mustBeDecoded?.(requestText.members))
    return parseRequest(requestText, surface, outside);
  return openWithoutReferences(requestText, surface, outside);
}

/** As `openRequest`, for a request that is known to refer to nothing. */
export const openWithoutReferences = (
  requestText: RequestText,
  surface: Surface,
  outside: PathParams = {},
): ParsedRequest => createRequest(requestText, surface, outside, () => decodeMeaning(requestText, surface, outside));

function createRequest(
  requestText: RequestText,
  surface: Surface,
  outside: PathParams,
  decode: () => Meaning,
): ParsedRequest {
  const model = readModel(requestText, outside);
  const stream = outside.stream ?? readOption(requestText, "stream") ?? false;
  if (typeof stream !== "boolean") throw invalid("stream", "expected boolean");
  return new ParsedRequest({ ...requestText, surface, outside, model, stream }, decode, true);
}

/** The model's name as the caller wrote it. Throws `request.invalid`. */
export function readModel(requestText: RequestText, outside: PathParams): string {
  const model = requestText.rhone.routing?.model ?? outside.model ?? readOption(requestText, "model") ?? "";
  if (typeof model !== "string") throw invalid("model", "expected string");
  if (model === "") throw invalid("model", "expected the name of a model");
  if (model.length > MAX_MODEL_LENGTH) throw invalid("model", `expected at most ${MAX_MODEL_LENGTH} characters`);
  return model;
}

/** Far longer than any name: the name is a part of the call's record. */
const MAX_MODEL_LENGTH = 1_024;

/** The value of a top-level member, the last of duplicates; `undefined` if it is absent or null. */
export function readOption({ text, members }: Pick<RequestText, "text" | "members">, key: string): Json | undefined {
  const member = members.findLast((one) => one.key === key);
  return member === undefined ? undefined : (parseJsonField(sliceSpan(text, member.value), key) ?? undefined);
}

function decodeMeaning(requestText: RequestText, surface: Surface, outside: PathParams): Meaning {
  const { text, hasLongNumber } = requestText;
  const value = parseField("body", () => parseShallow(text, hasLongNumber));
  if (!isObject(value)) throw invalid("body", "expected a JSON object");
  validate(surface.request, value, []);
  const { rhone: _, ...body } = value;
  const { dialect } = surface;
  const request = dialect.decodeRequest(body, outside);
  const rawItems = readItems(requestText, dialect);
  const items = rawItems.map((item) => dialect.layout.toPortableItem?.(item) ?? item);
  const hasRewrittenItems = items.some((item, i) => item !== rawItems[i]);
  const messages = request.messages.slice(request.messages.length - items.length);
  const firstOther = messages.findIndex(({ role }) => role !== "system");
  const systemCount = firstOther < 0 ? messages.length : firstOther;
  const instructions = readInstructions(requestText, dialect, items.slice(0, systemCount));
  return {
    body,
    request,
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
  const { value, elements } = member;
  if (elements !== undefined) return elements.map((span) => sliceSpan(text, span));
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

/** Throws `request.invalid` for text that is no JSON object. */
function scanRequest(text: string): ScannedObject {
  try {
    return scanObject(text);
  } catch (cause) {
    // The full parser gives the better error message.
    if (!isObject(parseJsonField(text, "body"))) throw invalid("body", "expected a JSON object");
    throw cause;
  }
}

/** Parses the JSON text of a field. Throws `request.invalid` naming the field. */
export const parseJsonField = (text: string, field: string): Json => parseField(field, () => parseJson(text));

function parseField(field: string, parse: () => Json): Json {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw invalid(field, `invalid JSON: ${cause.message}`);
  }
}
