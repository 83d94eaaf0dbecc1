import type { Json, JsonObject } from "../wire/json.ts";
import type { GatewayError } from "./error.ts";

/**
 * The canonical form of a conversation, independent of its wire format. A block is a view of the provider's item that it
 * was decoded from and holds that item whole (`native`), so members without a canonical name are encoded unchanged on the
 * same wire.
 */
export type Dialect = "openai-chat" | "openai-responses" | "anthropic" | "gemini" | "native";

/** An original wire item. `seal`: the only issuer that accepts it (signatures, encrypted reasoning); absent: any of the dialect. */
export type Native = { dialect: Dialect; item: Json; seal?: string };

/**
 * All other fields of an item are a view of `native`. Items are changed only with `editItem()`, which drops `native`.
 * `unshared`: members of `native` that influence the answer and are not translated, by their names.
 */
export type Item = { native?: Native; cache?: "5m" | "1h"; unshared?: readonly string[] };
/** `isIdAssigned`: the wire item has no id (most calls of Gemini); the gateway assigned this one. */
type ToolItem = Item & { id: string; isIdAssigned?: true };

export type Text = Item & {
  kind: "text";
  text: string;
  citations?: Citation[];
  refusal?: true;
  /** Log probabilities of its tokens, if requested and reported. */
  logprobs?: Logprob[];
};
/** `text` is empty if the reasoning is available only in sealed form. */
export type Thinking = Item & { kind: "thinking"; text: string };
/** `detail`: how closely the model looks at it (OpenAI): `low`, `high`, `auto`, `original`. */
export type Media = Item & { kind: "media"; mime: string; source: Source; name?: string; detail?: string };
/**
 * `arguments` is the model's JSON text: parsing would reorder members and round numbers. `namespace`: of the called tool,
 * if it has one. `custom`: a call of a custom tool; its arguments are `{"input": text}`.
 */
export type ToolCall = ToolItem & {
  kind: "tool_call";
  name: string;
  arguments: string;
  namespace?: string;
  custom?: true;
};
/** `name`: the tool's name, on wires that have it (Gemini, the `function` role of OpenAI Chat). */
export type ToolResult = ToolItem & { kind: "tool_result"; name?: string; content: Part[]; isError?: true };
/**
 * A block that only its dialect has: server tools and their results, search citations, … `gist`: plain text that stands
 * for it in other dialects.
 */
export type Opaque = Item & { kind: "opaque"; label: string; gist?: string; native: Native };

export type Part = Text | Media | Opaque;
export type Block = Text | Thinking | Media | ToolCall | ToolResult | Opaque;

/** `bytes`: the token in UTF-8, if reported. `top`: the most likely tokens at this position. */
export type Logprob = { token: string; logprob: number; bytes?: number[]; top?: Logprob[] };
export type Citation = { text?: string; url?: string; title?: string; start?: number; end?: number };
export type Source =
  | { type: "base64"; data: string }
  | { type: "url"; url: string }
  | { type: "file"; id: string }
  | { type: "text"; text: string };

/** Tool results are blocks of a `user` message. */
export type Role = "system" | "user" | "assistant";

/** One item of a wire's list: a Chat or Anthropic message, a Gemini content, a Responses item. */
export type Message = Item & {
  role: Role;
  blocks: Block[];
  /** The wire's role if it is more specific than `role`: `developer`. */
  word?: string;
  name?: string;
  /** The request only referenced it by this item id; the turn has it. */
  stored?: { id: string; turn: string };
};

export type FunctionTool = Item & {
  kind: "function";
  name: string;
  description?: string;
  /** JSON Schema of the arguments. Absent: the tool takes none. */
  parameters?: Json;
  strict?: boolean;
  /** The group of tools that it belongs to, on the wire that has groups (OpenAI Responses). */
  namespace?: { name: string; description?: string };
  /** A tool that takes free text. `parameters` describe the same text as an object, for wires that have functions only. */
  custom?: { grammar?: { syntax: string; definition: string } };
};
/** A tool that the provider runs, or one that only its dialect has. */
type ServerTool = Item & { kind: "server"; label: string; native: Native };
export type Tool = FunctionTool | ServerTool;

/**
 * `among`: the functions that may be called; absent: all. A name is that of `qualifiedNameOf`. Tools that the provider runs
 * have labels instead: `servers` beside `among`, and the `name` of a choice that `isServer`.
 */
export type ToolChoice =
  | { mode: "auto" | "none" | "required"; among?: string[]; servers?: string[] }
  | { mode: "tool"; name: string; isServer?: true };
export type Effort = "none" | "minimal" | "low" | "medium" | "high" | "xhigh";
/** `budget`: tokens. `summary`: the kind of reasoning summary that is requested; absent: the provider's default. */
export type Reasoning = { effort?: Effort; budget?: number; summary?: string };
export type Format =
  | { type: "text" }
  | { type: "json" }
  | { type: "json_schema"; name: string; schema: Json; description?: string; strict?: boolean };

export type Sampling = {
  temperature?: number;
  topP?: number;
  topK?: number;
  frequencyPenalty?: number;
  presencePenalty?: number;
  seed?: number;
  stop?: string[];
  n?: number;
  /** Number of alternatives per token; 0: only the chosen token. */
  logprobs?: number;
};

export type ModelRequest = {
  model: string;
  stream: boolean;
  /** System messages stay at their position; the leading ones are the instructions. */
  messages: Message[];
  tools?: Tool[];
  toolChoice?: ToolChoice;
  parallelTools?: boolean;
  reasoning?: Reasoning;
  format?: Format;
  /** Tokens. */
  maxOutput?: number;
  sampling?: Sampling;
  user?: string;
  serviceTier?: string;
  cacheKey?: string;
  /** Members that only the two wires of OpenAI have, by their names in Chat. */
  shared?: JsonObject;
  /** The whole body that it was decoded from: members without a canonical name are encoded again on the same wire. */
  rest?: Native;
};

/** `error`: the provider reports a failure. Such an answer never reaches a client: `findFailure` makes it an error. */
export type FinishReason =
  | "stop"
  | "length"
  | "tool_calls"
  | "content_filter"
  | "refusal"
  | "pause"
  | "other"
  | "error";
/**
 * `native`: the provider's name of the reason. Of an `error`, `message` is the provider's explanation, and `isModelFault`
 * means that the model's output was unusable, while the host works.
 */
export type Finish = {
  reason: FinishReason;
  native?: string;
  stopSequence?: string;
  message?: string;
  isModelFault?: true;
};

/** Token counts, disjoint except for those that are part of another. Absent means unknown, not 0. */
export type Usage = {
  fresh?: number;
  cacheRead?: number;
  cacheWrite?: number;
  output?: number;
  /** Part of `output`. */
  reasoning?: number;
  /** Parts of `fresh` and of `output` with prices of their own. */
  inputAudio?: number;
  outputAudio?: number;
  /** Part of `cacheWrite`: written to Anthropic's cache with a lifetime of one hour, with a price of its own. */
  cacheWrite1h?: number;
  /** Number of searches by the provider's own tool, if it reports them. */
  searches?: number;
  native?: Json;
};

export type ModelResponse = {
  id: string;
  model: string;
  messages: Message[];
  finish: Finish;
  usage: Usage;
  /** Further answers, if several were requested. `messages` holds the first one, which enters the session. */
  alternatives?: Alternative[];
  /** What the decoder left out of the provider's answer or derived because the provider left it out. */
  losses?: Loss[];
  /** The answer's envelope: its members other than the messages. */
  rest?: Native;
};

export type Alternative = { messages: Message[]; finish: Finish };

/**
 * A reply as a stream. Exactly one `end` or `error` is the last event. `item`: index of the wire item (a Responses answer
 * has several; absent: 0). `id`: the wire item's id, if it has one; a seal may be bound to it. `close` holds the whole
 * block with its `native`, so only decoders need to accumulate. `loss`: an event of the provider was left out.
 */
export type StreamEvent =
  | { type: "start"; id: string; model: string }
  | { type: "open"; index: number; item?: number; id?: string; block: Block }
  | { type: "delta"; index: number; text: string }
  | { type: "close"; index: number; block: Block }
  | {
      type: "end";
      finish: Finish;
      usage: Usage;
      items?: (Native | undefined)[];
      alternatives?: Alternative[];
      losses?: Loss[];
      /** Citations of texts that had closed before these arrived, by index of the block. */
      late?: { index: number; citations: Citation[] }[];
      rest?: Native;
    }
  | { type: "error"; error: GatewayError }
  | { type: "loss"; loss: Loss };

/** A part of a request that the target cannot represent, or of an answer. `at`: the field or block, in the terms of the caller's wire. */
export type Loss = { at: string; what: "dropped" | "approximated"; why: string };
