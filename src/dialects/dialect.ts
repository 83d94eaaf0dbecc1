import type { GatewayError } from "../canonical/error.ts";
import type { NativeTarget } from "../canonical/native.ts";
import type { Dialect, Loss, Message, ModelRequest, ModelResponse, StreamEvent, Usage } from "../canonical/types.ts";
import { sha256 } from "../wire/hash.ts";
import type { Json, JsonObject } from "../wire/json.ts";
import type { SseEvent } from "../wire/sse.ts";

/**
 * One wire format ⇄ canonical. Pure: no clock, no fetch, no chance. Decoders are open (an item nobody knows becomes
 * `opaque`), encoders are strict and deterministic (the same conversation gives the same bytes: prompt caches live on it).
 *
 * Laws, held by `test/laws`: encode ∘ decode = id on every request and message; fold(decodeStream(stream)) =
 * decodeResponse(whole); any cut of a stream decodes alike; exactly one terminal event, and never an invented one.
 */
export interface WireDialect {
  readonly id: Dialect;
  readonly layout: BodyLayout;

  /** Throws `request.invalid` naming the field. `model` and `stream` where the wire says them outside the body. */
  decodeRequest(body: JsonObject, params?: PathParams): ModelRequest;
  encodeRequest(request: ModelRequest, target: EncodeTarget): Encoded<JsonObject>;

  /** Items of the wire's list. `seal`: the issuer whose seals they may carry. */
  decodeMessages(items: readonly Json[], seal?: string): Message[];
  encodeMessages(messages: readonly Message[], target: EncodeTarget): Encoded<Json[]>;

  /** The body of a 2xx. Throws `provider.execution_failed` when it is no answer. */
  decodeResponse(body: Json, seal?: string): ModelResponse;
  encodeResponse(response: ModelResponse, reply: ReplyContext): JsonObject;
  /** What the body of a 2xx counts, though it may be no answer. */
  usageOf(body: JsonObject): Usage;
  /** A provider's own answer (JSON text) with every member the wire requires and the gateway alone knows, its other bytes untouched. */
  complete?(answer: string, reply: ReplyContext): string;

  /** How a stream is asked for its token counts, where they do not come unasked. */
  readonly streamUsage?: StreamUsage;
  decodeStream(seal?: string): StreamDecoder;
  encodeStream(reply: ReplyContext): StreamEncoder;

  /** The body of a status that is no 2xx, JSON or not. */
  decodeError(status: number, body: string, requestId?: string): GatewayError;
  /** `requestId`: ours. The status is the error's. */
  encodeError(error: GatewayError, requestId: string): JsonObject;
}

/**
 * What a wire says outside the body: Gemini has its model and its mode in the path. `asList`: its stream is wanted as
 * one JSON list, not as server-sent events.
 */
export type PathParams = { model?: string; stream?: boolean; asList?: boolean };

/** Where a body holds what a session restores. */
type BodyLayout = {
  /** The member with the list of messages. */
  items: "messages" | "input" | "contents";
  /** Its other spelling, where it has one. */
  itemsAlias?: "blocks";
  /** The member with the instructions, in the spellings it may have, where they are not the list's own leading system messages. */
  instructions?: readonly string[];
  /** The members that name what the gateway keeps itself: they go no further. */
  state?: readonly string[];
  /** The members that mean something in canonical terms, or nothing to the answer. Any other is lost on another wire. */
  knownMembers: ReadonlySet<string>;
  /** An item of ours in the wire's own words, any other as it is; both as JSON text. */
  toPortableItem?: (item: string) => string;
  /** The item that a bare text instead of the list stands for; both as JSON text. */
  itemFromText?: (text: string) => string;
};

export type EncodeTarget = NativeTarget & { model: string; quirks?: Quirks };

/** How a host strays from its dialect: data of its provider row. */
export type Quirks = {
  /** Chat: the member for the output limit. Default `max_completion_tokens`. */
  outputLimit?: "max_tokens" | "max_completion_tokens";
  /** Chat: the member in which the host takes its own reasoning back. Default `reasoning_content`. */
  reasoning?: "reasoning" | "reasoning_content";
  /** Chat: the host gives a stream's token counts when asked by `stream_options`. */
  streamUsage?: boolean;
  /** Chat: the host knows the role `developer`. */
  developerRole?: boolean;
  /** Chat: the member for the seed. Default `seed`. */
  seed?: "random_seed";
  /** Chat: members that the host refuses. */
  lacks?: readonly string[];
  /** Chat: the host takes JSON answers, but no schema for them. */
  lacksSchema?: boolean;
  /** Tool-call ids the host takes. Default: the dialect's own rule. */
  toolId?: RegExp;
};

/** A member (key and JSON text) to add to a request, and the event that comes of it and says nothing else. */
export type StreamUsage = { member: readonly [key: string, json: string]; isUsageEvent: (event: SseEvent) => boolean };

export type Encoded<T> = { value: T; losses: Loss[] };

/** What an encoder must know of the call it answers. `created`: Unix seconds. */
export type ReplyContext = {
  created: number;
  /** The answer's own id, where the gateway gives it one (Responses). */
  id?: string;
  /** The caller asked for a usage chunk at the end of the stream (Chat `stream_options.include_usage`). */
  includeUsage?: boolean;
  /** The call's and its session's own ids, for the wire that tells them (native). */
  call?: { id: string; sessionId: string };
  /** The request, for wires that echo it (Responses). */
  request?: ModelRequest;
};

/** Feed it every event. `end()` when the upstream has ended: an `error` unless the provider said that it is done. */
export interface StreamDecoder {
  /** The answer is finished; what still comes is only its end (usage, the terminal event). */
  readonly isAnswerComplete: boolean;
  /** The wire's very last word was said; absent where it has none beside the end of the connection. */
  readonly isTerminated?: boolean;
  /** That word, where an answer can be finished without it: a client may wait for it, though its provider leaves it out. */
  readonly terminator?: string;
  /** What the provider has counted so far, of an answer that may never end. */
  readonly usage: Usage;
  push(event: SseEvent): StreamEvent[];
  end(): StreamEvent[];
}

/** Events → the text of the wire's events, "" where it has none. `error` events included. */
export interface StreamEncoder {
  push(event: StreamEvent): string;
  /** What is said next comes behind this event of the same wire's: the count of a wire that numbers its events goes on. */
  resumeAfter?(last: SseEvent): void;
}

/** An id the target takes: itself, or 32 hexadecimal characters that are always the same for it. */
export function safeId(id: string, pattern: RegExp): string {
  if (pattern.test(id)) return id;
  return Buffer.from(sha256(id), "base64url").toString("hex").slice(0, 32);
}

export const countOf = (value: Json | undefined): number | undefined =>
  typeof value === "number" && value >= 0 ? value : undefined;
