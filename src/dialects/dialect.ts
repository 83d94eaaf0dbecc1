import type { z } from "zod";
import type { GatewayError } from "../canonical/error.ts";
import type { NativeTarget } from "../canonical/native.ts";
import type { ToolAliases } from "../canonical/tool-names.ts";
import { hashToolId } from "../canonical/tool-results.ts";
import type {
  Dialect,
  Loss,
  Message,
  ModelRequest,
  ModelResponse,
  StreamEvent,
  Tool,
  Usage,
  Native,
} from "../canonical/types.ts";
import type { Json, JsonObject } from "../wire/json.ts";
import type { SseEvent } from "../wire/sse.ts";
import type { MarkLimit } from "./mark-limit.ts";
import type { ServerTools } from "./server-tools.ts";

/**
 * Converts one wire format to and from the canonical types. Pure: no clock, no network, no random values.
 * Decoders accept every item (one of an unknown type becomes `opaque`); encoders are strict and deterministic,
 * because prompt caches of the providers compare bytes.
 *
 * Laws, checked by `test/dialects/`: encode ∘ decode is the identity on every recorded request and message;
 * fold(decodeStream(stream)) equals decodeResponse(whole); the cut of a stream into chunks has no influence; a
 * stream has exactly one terminal event, and a decoder never invents a successful one.
 */
export interface WireDialect {
  readonly id: Dialect;
  readonly layout: BodyLayout;
  /** Absent where calls of servers' tools are neither named nor shown. */
  readonly serverTools?: ServerTools;
  /** The cache marks that a request can have. Absent: any number of them. */
  readonly markLimit?: MarkLimit;
  /** A history may have answers that end in their thinking. Absent: hosts refuse it. */
  readonly takesUnfinishedThinking?: true;

  /**
   * Throws `request.invalid` with the name of the field. `params`: members that the wire has outside the body.
   */
  decodeRequest(body: JsonObject, params?: PathParams): ModelRequest;
  /** The body for `target`, and what it cannot represent as losses. */
  encodeRequest(request: ModelRequest, target: EncodeTarget): EncodedRequest;

  /**
   * Items of the list that `BodyLayout.items` names. `seal`: the issuer that made the sealed items among them.
   */
  decodeMessages(items: readonly Json[], seal?: string): Message[];
  /**
   * Inverse of `decodeMessages`. An item that came from this dialect is passed unchanged if `target` can open
   * it. `tools`: those of the body that gets the items, if it came over this wire: calls have the same names.
   */
  encodeMessages(messages: readonly Message[], target: EncodeTarget, tools?: readonly Tool[]): Encoded<Json[]>;

  /**
   * Decodes the body of a 2xx. Throws `provider.execution_failed` if it is not a response of this wire. `callId`: that of
   * the gateway's call; tool calls without an id on the wire get ids that follow from it, so no two answers share one.
   */
  decodeResponse(body: Json, seal?: string, callId?: string): ModelResponse;
  encodeResponse(response: ModelResponse, reply: ReplyContext): JsonObject;
  /** Token counts in the body of a 2xx, also of one that `decodeResponse` does not accept. */
  usageOf(body: JsonObject): Usage;
  /**
   * Adds to a provider's response (JSON text) the members that the wire requires and only the gateway can fill;
   * all other bytes stay. Absent where the wire has no such members.
   */
  complete?(answer: string, reply: ReplyContext): string;

  /** How a request turns on the token counts of its stream. Absent where the wire sends them always. */
  readonly streamUsage?: StreamUsage;
  /**
   * A citation belongs to a whole text, and a stream cannot cite one that has closed: both are losses. Absent: a citation
   * has a position in its text, and can follow it.
   */
  readonly citesWholeTexts?: true;
  /** `seal`, `callId`: as for `decodeResponse`. */
  decodeStream(seal?: string, callId?: string): StreamDecoder;
  /** Inverse of `decodeStream`, for the client of one call. */
  encodeStream(reply: ReplyContext): StreamEncoder;

  /**
   * Decodes the body of a status that is not 2xx; the body may be no JSON. `requestId`: the id in the header of
   * the provider.
   */
  decodeError(status: number, body: string, requestId?: string): GatewayError;
  /** `requestId`: the id that the gateway gave the request. The HTTP status is `error.status`. */
  encodeError(error: GatewayError, requestId: string): JsonObject;
}

/**
 * Members of a request that a wire has in its URL: Gemini has the model and the mode there. `asList`: the
 * stream is one JSON list (Gemini without `alt=sse`) instead of server-sent events.
 */
export type PathParams = { model?: string; stream?: boolean; asList?: boolean };

/**
 * Where a body of the dialect has the members that a session restores, so that they can be spliced without
 * parsing all.
 */
type BodyLayout = {
  /** The member with the list of messages. */
  items: "messages" | "input" | "contents";
  /** A second name of that member. */
  itemsAlias?: "blocks";
  /**
   * The names of the member with the instructions. Absent where they are leading system messages of the list.
   */
  instructions?: readonly string[];
  /** Members that refer to state of the gateway. They are not sent to a provider. */
  state?: readonly string[];
  /**
   * What the gateway understands of a request (`member-schemas.ts`). Another dialect loses all other members and words.
   * Absent if the surface's schema has all there is.
   */
  members?: z.ZodType;
  /**
   * Replaces an item that only the gateway can read by one that every host of the wire reads. JSON text in and
   * out.
   */
  toPortableItem?: (item: string) => string;
  /** Whether the text of a request may have such items. */
  mayHaveOwnItems?: (text: string) => boolean;
  /**
   * Whether a request has to be decoded before it is sent, also to a host of this wire: for a member that the gateway
   * refuses. Of wires whose items may refer to stored state, each request is.
   */
  mustBeDecoded?: (members: readonly { key: string }[]) => boolean;
  /** What an item means depends on those in front of it (Gemini's tool calls have no ids). */
  readsItemsTogether?: true;
  /** Whether the text of stored items may reference other items. References are not sent, so it is not copied. */
  mayHaveReferences?: (items: string) => boolean;
  /** The item for a list that consists of one bare text. JSON text in and out. */
  itemFromText?: (text: string) => string;
};

/** The host that reads the result. `model`: the name of the model there. */
export type EncodeTarget = NativeTarget & { model: string; quirks?: Quirks; traits?: ModelTraits };

/**
 * What is known of a model. Absent members are unknown. `maxOutput`: tokens. `reasons`: it takes an effort or a budget for
 * reasoning. `fixedSampling`: it refuses a temperature and other parameters of sampling.
 */
export type ModelTraits = { maxOutput?: number; reasons?: boolean; fixedSampling?: true };

/** Deviations of a host from its dialect; data in its provider row (`src/providers/builtin.ts`). */
export type Quirks = {
  /**
   * Chat: the member for the output limit. Default `max_completion_tokens`; hosts with the older API know
   * `max_tokens`.
   */
  outputLimit?: "max_tokens" | "max_completion_tokens";
  /** Chat: the member in which the host accepts its own reasoning. Default `reasoning_content`. */
  reasoning?: "reasoning" | "reasoning_content";
  /** Chat: the host supports `stream_options.include_usage`. */
  streamUsage?: boolean;
  /** OpenAI's wires: the host has the members that these have in common (`openai/shared-members.ts`). */
  sharedMembers?: boolean;
  /** Chat: the host supports the role `developer`; others get `system`. */
  developerRole?: boolean;
  /** Chat: the member for the seed. Default `seed`; Mistral has `random_seed`. */
  seed?: "random_seed";
  /** Chat: members that the host refuses. They are dropped, with a loss. */
  lacks?: readonly string[];
  /** Chat: the host supports JSON output, but no schema for it. */
  lacksSchema?: boolean;
  /**
   * The host has functions only, and no list of allowed tools in a choice: custom tools and those of namespaces are sent as
   * functions.
   */
  lacksCustomTools?: boolean;
  /** Ids of tool calls that the host accepts. Default: the pattern of the dialect. */
  toolId?: RegExp;
};

/**
 * `member`: key and JSON text to add to a request. `isUsageEvent`: whether an event exists only because of that
 * member; it is hidden from a client that did not set the member itself.
 */
export type StreamUsage = { member: readonly [key: string, json: string]; isUsageEvent: (event: SseEvent) => boolean };

/** The result of an encoder, and what the target cannot represent of its input. */
export type Encoded<T> = { value: T; losses: Loss[] };
/** `aliases`: the tools whose names or forms in the answer are not those of the request. */
export type EncodedRequest = Encoded<JsonObject> & { aliases?: ToolAliases };

/** Facts about the call that an encoder of responses needs. `created`: Unix seconds. */
export type ReplyContext = {
  created: number;
  /** The public id of the response, where the gateway assigns one (Responses). */
  id?: string;
  /** The target's name of the model, for an answer that does not name one. */
  model?: string;
  /** The client set `stream_options.include_usage` (Chat) and gets a chunk with the token counts. */
  includeUsage?: boolean;
  /** The text in which the client carries a sealed item of another wire. Absent: it carries none. */
  carry?: (native: Native | undefined) => string;
  /** Ids of the call and its session, for the wire that shows them (native). */
  call?: { id: string; sessionId: string };
  /** The request, for the wire that repeats it in its responses (Responses). */
  request?: ModelRequest;
};

/**
 * Decodes the events of one upstream stream, in their order. After the last event, `end()` returns the rest: an
 * `end` event, or an `error` event if the provider did not complete the answer.
 */
export interface StreamDecoder {
  /** The content is complete; only usage and the terminal event can follow. */
  readonly isAnswerComplete: boolean;
  /** The terminal event was received. `undefined` if the wire ends by closing the connection. */
  readonly isTerminated?: boolean;
  /** The answer is complete, and its finish reason is a failure: `end()` will report `error` as the reason. */
  readonly isFailing?: boolean;
  /**
   * The terminal event, to be sent if the provider omits it: clients of OpenAI Chat wait for `[DONE]`.
   * `undefined` if an answer is never complete without it.
   */
  readonly terminator?: string;
  /** The token counts received so far, also of an answer that breaks off, and those that follow its error. */
  readonly usage: Usage;
  push(event: SseEvent): StreamEvent[];
  end(): StreamEvent[];
}

/**
 * Encodes canonical events, `error` included, as the text of the wire's events; "" where the wire has none for
 * an event.
 */
export interface StreamEncoder {
  push(event: StreamEvent): string;
  /**
   * Continues the numbering of a wire that numbers its events after `last`, an event that the client has
   * already received.
   */
  resumeAfter?(last: SseEvent): void;
}

/**
 * An id that the target accepts: `id` if it matches `pattern`, otherwise 32 hexadecimal characters of its hash, or as many
 * of them as match. The same id always gives the same result, so call and result agree and a retry has the same bytes.
 */
export function toSafeId(id: string, pattern: RegExp): string {
  if (pattern.test(id)) return id;
  const hash = hashToolId(id);
  const starts = Array.from(hash, (_, i) => hash.slice(0, hash.length - i));
  return starts.find((start) => pattern.test(start)) ?? hash;
}

/** A token count of a usage object; `undefined` (unknown) for anything but a whole number from 0 that a double has exactly. */
export const countOf = (value: Json | undefined): number | undefined =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
