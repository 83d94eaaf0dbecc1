import { toOpenBlock } from "../../canonical/accumulator.ts";
import { GatewayError } from "../../canonical/error.ts";
import type { Alternative, Block, Logprob, StreamEvent, Usage } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";
import { encodeSse, type SseEvent } from "../../wire/sse.ts";
import type { ReplyContext, StreamDecoder, StreamEncoder, StreamUsage } from "../dialect.ts";
import { decodeErrorBody, errorMembers } from "../openai/errors.ts";
import { decodeLogprobs, encodeLogprobs } from "../openai/logprobs.ts";
import { encodeAnnotations } from "./citations.ts";
import { appendCallDelta, appendDelta, argumentsOf, ensureCalls } from "./deltas.ts";
import { decodeMessage } from "./messages.ts";
import { decodeChoice, decodeFinish, encodeChoice, encodeFinish } from "./response.ts";
import { decodeUsage, encodeUsage } from "./usage.ts";

const dialect = "openai-chat";

export const decodeStream = (seal?: string): StreamDecoder => new ChatDecoder(seal);
export const encodeStream = (reply: ReplyContext): StreamEncoder => new ChatEncoder(reply);

/**
 * Counts arrive in a chunk with empty `choices`, before `[DONE]` (OpenAI API reference, `stream_options`).
 */
export const streamUsage: StreamUsage = {
  member: ["stream_options", '{"include_usage":true}'],
  isUsageEvent: ({ data = "" }) => {
    const chunk = data.includes('"usage"') ? tryParseJson(data) : undefined;
    return isObject(chunk) && isObject(chunk.usage) && Array.isArray(chunk.choices) && chunk.choices.length === 0;
  },
};

/** Terminal event of the wire (OpenAI API reference, Chat: streaming). */
const DONE = encodeSse({ data: "[DONE]" });

/**
 * Decodes chunks, one block open at a time. Beside the events the whole message grows, unknown members
 * included, as the native item for the next request. The answer is complete with a finish reason; usage may
 * follow it, so the end event waits for `end`. `[DONE]` alone does not complete an answer: a proxy sends it
 * also after its own provider broke off.
 */
class ChatDecoder implements StreamDecoder {
  readonly terminator = DONE;
  readonly #message: JsonObject = { role: "assistant" };
  #envelope: JsonObject | undefined;
  #usage: Usage = {};
  #finishReason: Json | undefined;
  #isDone = false;
  #failed = false;
  /** `call`: position in `tool_calls`. `member`: the member in which the host sends its reasoning. */
  #open: { index: number; block: Block; call?: number; member?: string; logprobs?: Logprob[] } | undefined;
  #nextIndex = 0;
  /** Deltas of calls that started while another call was incomplete. */
  #waiting: { call: number; delta: JsonObject }[] = [];
  /** Choices after the first (`n` > 1), in the form of a response without streaming. */
  readonly #others = new Map<number, { message: JsonObject; logprobs: Json[]; finish_reason?: Json }>();

  readonly #seal: string | undefined;

  constructor(seal: string | undefined) {
    this.#seal = seal;
  }

  get isAnswerComplete(): boolean {
    return this.#finishReason !== undefined;
  }

  get isTerminated(): boolean {
    return this.#isDone;
  }

  get usage(): Usage {
    return this.#usage;
  }

  push({ data, event }: SseEvent): StreamEvent[] {
    if (data === undefined || this.#failed) return [];
    if (data.trim() === "[DONE]") {
      this.#isDone = true;
      return this.isAnswerComplete ? [] : this.#fail(newInterruptedError());
    }
    const chunk = tryParseJson(data);
    if (!isObject(chunk))
      return this.#fail(new GatewayError("provider.execution_failed", "the provider sent a chunk that is not JSON"));
    if (event === "error" || (chunk.error !== undefined && chunk.error !== null))
      return this.#fail(decodeErrorBody(502, chunk));
    return this.#addChunk(chunk);
  }

  end(): StreamEvent[] {
    if (this.#failed) return [];
    if (!this.isAnswerComplete) return [...this.#close(), ...this.#fail(newInterruptedError())];
    const rest = this.#flush();
    const message = decodeMessage(this.#message, this.#seal);
    const finish = decodeFinish(this.#finishReason, message);
    const { choices: _, ...envelope } = this.#envelope ?? {};
    const items = message.native === undefined ? [] : [message.native];
    const alternatives = this.#decodeAlternatives();
    const extras = {
      items,
      ...(alternatives.length > 0 && { alternatives }),
      rest: { dialect, item: envelope },
    } as const;
    return [...rest, { type: "end", finish, usage: this.#usage, ...extras }];
  }

  #addChunk(chunk: JsonObject): StreamEvent[] {
    const events: StreamEvent[] = [];
    if (this.#envelope === undefined) {
      this.#envelope = chunk;
      events.push({ type: "start", id: stringifyMember(chunk.id), model: stringifyMember(chunk.model) });
    }
    if (isObject(chunk.usage)) this.#usage = decodeUsage(chunk.usage);
    const choices = Array.isArray(chunk.choices) ? chunk.choices : [];
    for (const choice of choices) {
      if (!isObject(choice)) continue;
      const delta = isObject(choice.delta) ? choice.delta : isObject(choice.message) ? choice.message : {};
      const logprobs =
        isObject(choice.logprobs) && Array.isArray(choice.logprobs.content) ? choice.logprobs.content : [];
      if (typeof choice.index === "number" && choice.index !== 0) {
        this.#addAlternative(choice.index, choice, delta, logprobs);
        continue;
      }
      events.push(...this.#addDelta(delta));
      if (logprobs.length > 0 && this.#open?.block.kind === "text")
        (this.#open.logprobs ??= []).push(...decodeLogprobs(logprobs));
      if (typeof choice.finish_reason === "string") this.#finishReason = choice.finish_reason;
    }
    return events;
  }

  /** Alternatives have no events of their own: the end event has them whole. */
  #addAlternative(index: number, choice: JsonObject, delta: JsonObject, logprobs: readonly Json[]): void {
    const other = this.#others.get(index) ?? { message: { role: "assistant" }, logprobs: [] };
    this.#others.set(index, other);
    appendDelta(other.message, delta);
    for (const call of Array.isArray(delta.tool_calls) ? delta.tool_calls : [])
      if (isObject(call)) appendCallDelta(other.message, call);
    other.logprobs.push(...logprobs);
    if (typeof choice.finish_reason === "string") other.finish_reason = choice.finish_reason;
  }

  #decodeAlternatives(): Alternative[] {
    const others = [...this.#others].toSorted(([a], [b]) => a - b).map(([, other]) => other);
    return others.flatMap(
      ({ logprobs, ...choice }) => decodeChoice({ ...choice, logprobs: { content: logprobs } }, this.#seal) ?? [],
    );
  }

  #addDelta(delta: JsonObject): StreamEvent[] {
    const events: StreamEvent[] = [];
    const member = nonEmptyText(delta.reasoning_content) === undefined ? "reasoning" : "reasoning_content";
    const reasoning = nonEmptyText(delta[member]);
    if (reasoning !== undefined) events.push(...this.#addText({ kind: "thinking", text: reasoning }, member));
    for (const part of Array.isArray(delta.content) ? delta.content : [delta.content])
      events.push(...this.#addPart(part));
    if (typeof delta.refusal === "string" && delta.refusal !== "") {
      events.push(...this.#addText({ kind: "text", text: delta.refusal, refusal: true }));
    }
    appendDelta(this.#message, delta);
    for (const call of Array.isArray(delta.tool_calls) ? delta.tool_calls : []) {
      if (isObject(call)) events.push(...this.#addCall(appendCallDelta(this.#message, call), call));
    }
    return events;
  }

  #addPart(part: Json | undefined): StreamEvent[] {
    if (typeof part === "string") return part === "" ? [] : this.#addText({ kind: "text", text: part });
    if (!isObject(part)) return [];
    const [block] = decodeMessage({ role: "assistant", content: [part] }).blocks;
    if (block?.kind === "text" || block?.kind === "thinking") return block.text === "" ? [] : this.#addText(block);
    if (block === undefined) return [];
    const index = this.#nextIndex++;
    return [...this.#close(), { type: "open", index, block }, { type: "close", index, block }];
  }

  /**
   * Appends to the open block if it has the same kind, otherwise opens the next block. `member`: as in `#open`.
   */
  #addText(piece: Extract<Block, { kind: "text" | "thinking" }>, member?: string): StreamEvent[] {
    const isRefusal = piece.kind === "text" && piece.refusal;
    const open = this.#open?.block;
    const isSame = open?.kind === piece.kind && (open.kind === "text" && open.refusal) === isRefusal;
    const events = isSame ? [] : [...this.#close(), ...this.#start(toOpenBlock(piece), { ...(member && { member }) })];
    return [...events, ...this.#append(piece.text)];
  }

  /**
   * Most hosts send calls one after the other. A call that starts early waits until the open one is complete
   * JSON.
   */
  #addCall(call: number, delta: JsonObject): StreamEvent[] {
    const open = this.#open;
    if (open?.call === call) return this.#append(argumentsOf(delta));
    if (open?.call !== undefined && !isCompleteJson(open.block)) {
      this.#waiting.push({ call, delta });
      return [];
    }
    const events = this.#close();
    const { name } = isObject(delta.function) ? delta.function : {};
    const block = {
      kind: "tool_call",
      id: stringifyMember(delta.id),
      name: stringifyMember(name),
      arguments: "",
    } as const;
    const start = this.#start(block, { call });
    return [...events, ...start, ...this.#append(argumentsOf(delta))];
  }

  #start(block: Block, from: { call?: number; member?: string }): StreamEvent[] {
    const index = this.#nextIndex++;
    this.#open = { index, block, ...from };
    return [{ type: "open", index, block }];
  }

  #append(text: string): StreamEvent[] {
    const open = this.#open;
    if (open === undefined || text === "") return [];
    if (open.block.kind === "tool_call") open.block = { ...open.block, arguments: open.block.arguments + text };
    else if (open.block.kind === "text" || open.block.kind === "thinking")
      open.block = { ...open.block, text: open.block.text + text };
    return [{ type: "delta", index: open.index, text }];
  }

  /** Closes the open block with the item that a response without streaming has for it. */
  #close(): StreamEvent[] {
    const open = this.#open;
    if (open === undefined) return [];
    this.#open = undefined;
    const { call, member, logprobs } = open;
    const block = open.block.kind === "text" && logprobs !== undefined ? { ...open.block, logprobs } : open.block;
    const reasoning = member !== undefined && block.kind === "thinking" ? { [member]: block.text } : undefined;
    const item = call === undefined ? reasoning : ensureCalls(this.#message)[call];
    return [
      { type: "close", index: open.index, block: item === undefined ? block : { ...block, native: { dialect, item } } },
    ];
  }

  /** Closes the open block, then emits the waiting calls in the order of their start. */
  #flush(): StreamEvent[] {
    const events = this.#close();
    const waiting = this.#waiting;
    this.#waiting = [];
    const calls = new Set(waiting.map(({ call }) => call));
    for (const call of calls) {
      const [first, ...more] = waiting.filter((one) => one.call === call);
      events.push(
        ...this.#addCall(call, first!.delta),
        ...more.flatMap(({ delta }) => this.#append(argumentsOf(delta))),
        ...this.#close(),
      );
    }
    return events;
  }

  #fail(error: GatewayError): StreamEvent[] {
    this.#failed = true;
    return [{ type: "error", error }];
  }
}

/**
 * Encodes events as chunks of one choice. Opaque blocks and media have no delta in this wire and are omitted.
 */
class ChatEncoder implements StreamEncoder {
  #id = "";
  #model = "";
  #calls = 0;
  /** Position in `tool_calls` by block index. */
  readonly #callOf = new Map<number, number>();
  /** Member of the delta by block index. */
  readonly #kindOf = new Map<number, "content" | "refusal" | "reasoning_content">();

  readonly #reply: ReplyContext;

  constructor(reply: ReplyContext) {
    this.#reply = reply;
  }

  push(event: StreamEvent): string {
    switch (event.type) {
      case "start":
        this.#id = event.id;
        this.#model = event.model;
        return this.#encodeDelta({ role: "assistant", content: "" });
      case "open":
        return this.#open(event.index, event.block);
      case "delta": {
        const call = this.#callOf.get(event.index);
        if (call !== undefined)
          return this.#encodeDelta({ tool_calls: [{ index: call, function: { arguments: event.text } }] });
        const member = this.#kindOf.get(event.index);
        return member === undefined ? "" : this.#encodeDelta({ [member]: event.text });
      }
      case "close": {
        if (event.block.kind !== "text") return "";
        const annotations = encodeAnnotations(event.block);
        const { logprobs = [] } = event.block;
        const cited = annotations.length > 0 ? this.#encodeDelta({ annotations }) : "";
        return cited + (logprobs.length > 0 ? this.#encodeLogprobs(logprobs) : "");
      }
      case "end": {
        const usage = encodeUsage(event.usage);
        const end = this.#encodeDelta({}, encodeFinish(event.finish, [...this.#kindOf.values()].includes("refusal")));
        const last = end + (event.alternatives ?? []).map((other, i) => this.#encodeAlternative(other, i + 1)).join("");
        const usageChunk = this.#reply.includeUsage && usage !== undefined ? this.#encodeChunk([], { usage }) : "";
        return `${last}${usageChunk}${DONE}`;
      }
      case "error":
        return encodeSse({ data: JSON.stringify({ error: errorMembers(event.error) }) });
    }
  }

  #open(index: number, block: Block): string {
    if (block.kind === "thinking") this.#kindOf.set(index, "reasoning_content");
    if (block.kind === "text") this.#kindOf.set(index, block.refusal ? "refusal" : "content");
    if (block.kind !== "tool_call") return "";
    const call = this.#calls++;
    this.#callOf.set(index, call);
    const { id, name } = block;
    return this.#encodeDelta({
      tool_calls: [{ index: call, id, type: "function", function: { name, arguments: "" } }],
    });
  }

  /**
   * Log probabilities follow when the text is complete: the chunks of the gateway have other borders than the
   * tokens.
   */
  #encodeLogprobs(logprobs: readonly Logprob[]): string {
    const encoded = { content: encodeLogprobs(logprobs), refusal: null };
    return this.#encodeChunk([{ index: 0, delta: {}, logprobs: encoded, finish_reason: null }]);
  }

  /** An alternative is sent whole, after the first choice is complete. */
  #encodeAlternative(other: Alternative, index: number): string {
    const { message, logprobs, finish_reason } = encodeChoice(other, index);
    const { tool_calls: calls, ...members } = message as JsonObject;
    const numbered = Array.isArray(calls) ? calls.map((call, i) => ({ index: i, ...(call as JsonObject) })) : [];
    const delta = { ...members, ...(numbered.length > 0 && { tool_calls: numbered }) };
    const chunk = this.#encodeChunk([{ index, delta, logprobs: logprobs!, finish_reason: null }]);
    return chunk + this.#encodeChunk([{ index, delta: {}, logprobs: null, finish_reason: finish_reason! }]);
  }

  #encodeDelta(delta: JsonObject, finishReason: string | null = null): string {
    return this.#encodeChunk([{ index: 0, delta, logprobs: null, finish_reason: finishReason }]);
  }

  #encodeChunk(choices: Json[], more: JsonObject = {}): string {
    const { created } = this.#reply;
    const chunk = { id: this.#id, object: "chat.completion.chunk", created, model: this.#model, choices, ...more };
    return encodeSse({ data: JSON.stringify(chunk) });
  }
}

const newInterruptedError = (): GatewayError =>
  new GatewayError("stream.interrupted", "the provider's stream ended before the answer was finished");
const isCompleteJson = (block: Block): boolean =>
  block.kind !== "tool_call" || tryParseJson(block.arguments) !== undefined;
const nonEmptyText = (value: Json | undefined): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;
