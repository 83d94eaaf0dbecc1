import type { Json } from "../wire/json.ts";
import type { GatewayError } from "./error.ts";

/**
 * What a conversation means, whichever wire it came over. A block is a *view* of the provider's item it came from and
 * carries that item whole (`native`), so what nobody here has a name for is said again unchanged on the same wire.
 */
export type Dialect = "openai-chat" | "openai-responses" | "anthropic" | "gemini" | "native";

/** `seal`: the only issuer that can open it (signatures, encrypted reasoning). Absent: anyone who speaks the dialect. */
export type Native = { dialect: Dialect; item: Json; seal?: string };

/** All other fields of an item are a view of `native`. Change one only with `edit()`, which drops it. */
export type Item = { native?: Native; cache?: "5m" | "1h" };

export type Text = Item & {
  kind: "text";
  text: string;
  citations?: Citation[];
  refusal?: true;
  /** Of its tokens, where the caller asked for them and the provider tells them. */
  logprobs?: Logprob[];
};
/** `text` is empty when the reasoning is only there sealed. */
export type Thinking = Item & { kind: "thinking"; text: string };
export type Media = Item & { kind: "media"; mime: string; source: Source; name?: string };
/** `arguments` is JSON text as the model wrote it: parsing reorders and rounds. */
export type ToolCall = Item & { kind: "tool_call"; id: string; name: string; arguments: string };
/** `name`: the tool's, where the wire says it (Gemini, Chat's old `function` role). */
export type ToolResult = Item & { kind: "tool_result"; id: string; name?: string; content: Part[]; isError?: true };
/** Means nothing outside its dialect but, perhaps, its gist: server tools and their results, citations of a search, … */
export type Opaque = Item & { kind: "opaque"; label: string; gist?: string; native: Native };

export type Part = Text | Media | Opaque;
export type Block = Text | Thinking | Media | ToolCall | ToolResult | Opaque;

/** `bytes`: the token's in UTF-8, where the provider says them. `top`: what else was likely in its place. */
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
  /** The wire's own word where it says more than `role`: `developer`. */
  word?: string;
  name?: string;
};

export type FunctionTool = Item & {
  kind: "function";
  name: string;
  description?: string;
  /** JSON Schema of the arguments. Absent: the tool takes none. */
  parameters?: Json;
  strict?: boolean;
};
/** A tool that the provider itself runs, or one only its dialect knows. */
export type ServerTool = Item & { kind: "server"; label: string; native: Native };
export type Tool = FunctionTool | ServerTool;

/** `among`: the only functions that may be called, where they are not all. */
export type ToolChoice = { mode: "auto" | "none" | "required"; among?: string[] } | { mode: "tool"; name: string };
export type Effort = "none" | "minimal" | "low" | "medium" | "high" | "xhigh";
/** `budget`: tokens. `summary`: whether the caller wants to read along; absent leaves the provider's default. */
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
  /** Alternatives per token; 0 is the chosen token alone. */
  logprobs?: number;
};

export type ModelRequest = {
  model: string;
  stream: boolean;
  /** System messages stand where they stood; the leading ones are the instructions. */
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
  /** The body it came from, whole: members without a canonical home are said again on the same wire. */
  rest?: Native;
};

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter" | "refusal" | "pause" | "other";
/** `native`: the provider's own word. */
export type Finish = { reason: FinishReason; native?: string; stopSequence?: string };

/** Disjoint token counts but for those that are part of another. Absent is unknown, never 0. */
export type Usage = {
  fresh?: number;
  cacheRead?: number;
  cacheWrite?: number;
  output?: number;
  /** Of `output`. */
  reasoning?: number;
  /** Of `fresh` and of `output`: priced apart. */
  inputAudio?: number;
  outputAudio?: number;
  /** Of `cacheWrite`: what Anthropic keeps for an hour, and prices apart. */
  cacheWrite1h?: number;
  /** Not tokens: the searches of the provider's own tool, where it counts and bills them. */
  searches?: number;
  native?: Json;
};

export type ModelResponse = {
  id: string;
  model: string;
  messages: Message[];
  finish: Finish;
  usage: Usage;
  /** The same turn said otherwise, where several were asked for. The first is the reply, and the session's. */
  alternatives?: Alternative[];
  /** What the answer's envelope says beside its messages. */
  rest?: Native;
};

export type Alternative = { messages: Message[]; finish: Finish };

/**
 * A reply as it grows. Exactly one `end` or `error` comes last. `item` counts the wire items of the reply (a Responses
 * answer has several; absent is 0), `id` is the item's own, where it has one: a seal may be bound to it. `close` brings
 * the finished block, native included: only decoders accumulate.
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
      rest?: Native;
    }
  | { type: "error"; error: GatewayError };

/** Something a target cannot hold. `at`: the field or block, in the caller's terms. */
export type Loss = { at: string; what: "dropped" | "approximated"; why: string };
