import { GatewayError } from "../../canonical/error.ts";
import type { Alternative, Block, Logprob, StreamEvent, Text, Usage } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";
import { encodeSse, type SseEvent } from "../../wire/sse.ts";
import { AnswerCalls } from "../answer-calls.ts";
import type { ReplyContext, StreamDecoder, StreamEncoder, StreamUsage } from "../dialect.ts";
import { decodeMalformed } from "../malformed-event.ts";
import { decodeStreamError, errorMembers } from "../openai/errors.ts";
import { decodeLogprobs, encodeLogprobs } from "../openai/logprobs.ts";
import { BlockReader } from "./block-stream.ts";
import { asDeclared } from "./blocks.ts";
import { CallWriter } from "./call-writer.ts";
import { encodeAnnotations } from "./citations.ts";
import { appendDelta } from "./deltas.ts";
import { isFailure } from "./finish-reason.ts";
import { decodeMessage } from "./messages.ts";
import {
  decodeChoice,
  type DecodedChoice,
  encodeChoice,
  encodeFinish,
  isWholeContent,
  lossesOf,
  scopeOfChoice,
  toAnswer,
} from "./response.ts";
import { appendCallDelta } from "./tool-calls.ts";
import { decodeUsage, encodeUsage } from "./usage.ts";

const dialect = "openai-chat";

export const decodeStream = (seal?: string, callId?: string): StreamDecoder => new ChatDecoder(seal, callId);
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
 * follow it, so the end event waits for `end`.
 */
class ChatDecoder implements StreamDecoder {
  readonly terminator = DONE;
  readonly #message: JsonObject = { role: "assistant" };
  #envelope: JsonObject | undefined;
  #usage: Usage = {};
  /** Null: the provider sent none, and the content is complete. */
  #finishReason: string | null | undefined;
  #hasStarted = false;
  #isDone = false;
  #failed = false;
  readonly #blocks = new BlockReader(this.#message);
  /** Choices after the first (`n` > 1), in the form of a response without streaming. */
  readonly #others = new Map<number, { message: JsonObject; logprobs: Json[]; finish_reason?: Json }>();

  readonly #seal: string | undefined;
  readonly #callId: string;

  constructor(seal: string | undefined, callId = "") {
    this.#seal = seal;
    this.#callId = callId;
  }

  get isAnswerComplete(): boolean {
    return this.#finishReason !== undefined;
  }

  get isTerminated(): boolean {
    return this.#isDone;
  }

  get isFailing(): boolean {
    return isFailure(this.#finishReason);
  }

  get usage(): Usage {
    return this.#usage;
  }

  push({ data, event }: SseEvent): StreamEvent[] {
    if (data === undefined || this.#isDone) return [];
    if (data.trim() === "[DONE]") return this.#finish();
    const chunk = tryParseJson(data);
    if (isObject(chunk) && isObject(chunk.usage)) this.#usage = decodeUsage(chunk.usage);
    if (this.#failed) return [];
    if (!isObject(chunk)) return decodeMalformed(data, event, (error) => this.#fail(error));
    if (event === "error" || (chunk.error !== undefined && chunk.error !== null))
      return this.#fail(decodeStreamError(chunk));
    return this.#addChunk(chunk);
  }

  end(): StreamEvent[] {
    if (this.#failed) return [];
    if (!this.isAnswerComplete) return [...this.#blocks.close(), ...this.#fail(newInterruptedError())];
    const events = this.#blocks.finish(new AnswerCalls(scopeOfChoice(this.#callId, 0)));
    const answer = this.#decodeAnswer();
    const { choices: _, ...envelope } = this.#envelope ?? {};
    const alternatives = this.#decodeAlternatives();
    const extras = {
      items: answer.messages.flatMap(({ native }) => native ?? []),
      ...(alternatives.length > 0 && { alternatives: alternatives.map(toAnswer) }),
      ...lossesOf([answer, ...alternatives]),
      rest: { dialect, item: envelope },
    } as const;
    const late = this.#blocks.listLate();
    return [...events, { type: "end", finish: answer.finish, usage: this.#usage, ...extras, ...late }];
  }

  /**
   * `[DONE]` ends an answer. If the provider left out the finish reason, the content has to be complete: a proxy
   * sends `[DONE]` also after its own provider broke off.
   */
  #finish(): StreamEvent[] {
    this.#isDone = true;
    if (this.#failed) return [];
    if (!this.isAnswerComplete && isWholeContent(this.#decodeAnswer())) this.#finishReason = null;
    return this.isAnswerComplete ? [] : this.#fail(newInterruptedError());
  }

  #decodeAnswer(): DecodedChoice {
    const choice = { message: this.#message, finish_reason: this.#finishReason ?? null };
    return decodeChoice(choice, this.#seal, scopeOfChoice(this.#callId, 0))!;
  }

  #addChunk(chunk: JsonObject): StreamEvent[] {
    const choices = Array.isArray(chunk.choices) ? chunk.choices : [];
    const events = this.#start(chunk, choices.length > 0);
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
      if (logprobs.length > 0) this.#blocks.addLogprobs(decodeLogprobs(logprobs));
      this.#finishReason = nonEmptyText(choice.finish_reason) ?? this.#finishReason;
    }
    return events;
  }

  /** The first chunk of Azure has neither id nor choices, only the result of its filter. */
  #start(chunk: JsonObject, hasChoices: boolean): StreamEvent[] {
    this.#envelope ??= chunk;
    const { id, model } = chunk;
    if (this.#hasStarted || (!hasChoices && nonEmptyText(id) === undefined)) return [];
    this.#hasStarted = true;
    return [{ type: "start", id: stringifyMember(id), model: stringifyMember(model) }];
  }

  /** Alternatives have no events of their own: the end event has them whole. */
  #addAlternative(index: number, choice: JsonObject, delta: JsonObject, logprobs: readonly Json[]): void {
    const other = this.#others.get(index) ?? { message: { role: "assistant" }, logprobs: [] };
    this.#others.set(index, other);
    appendDelta(other.message, delta);
    for (const call of Array.isArray(delta.tool_calls) ? delta.tool_calls : [])
      if (isObject(call)) appendCallDelta(other.message, call);
    other.logprobs.push(...logprobs);
    other.finish_reason = nonEmptyText(choice.finish_reason) ?? other.finish_reason ?? null;
  }

  #decodeAlternatives(): DecodedChoice[] {
    const others = [...this.#others].toSorted(([a], [b]) => a - b).map(([, other]) => other);
    return others.flatMap(
      ({ logprobs, ...choice }, i) =>
        decodeChoice({ ...choice, logprobs: { content: logprobs } }, this.#seal, scopeOfChoice(this.#callId, i + 1)) ??
        [],
    );
  }

  #addDelta(delta: JsonObject): StreamEvent[] {
    const events: StreamEvent[] = [];
    const member = nonEmptyText(delta.reasoning_content) === undefined ? "reasoning" : "reasoning_content";
    const reasoning = nonEmptyText(delta[member]);
    if (reasoning !== undefined) events.push(...this.#blocks.addText({ kind: "thinking", text: reasoning }, member));
    for (const part of Array.isArray(delta.content) ? delta.content : [delta.content])
      events.push(...this.#addPart(part));
    if (typeof delta.refusal === "string" && delta.refusal !== "") {
      events.push(...this.#blocks.addText({ kind: "text", text: delta.refusal, refusal: true }));
    }
    appendDelta(this.#message, delta);
    for (const call of Array.isArray(delta.tool_calls) ? delta.tool_calls : []) {
      if (isObject(call)) events.push(...this.#blocks.addCall(call));
    }
    return events;
  }

  #addPart(part: Json | undefined): StreamEvent[] {
    if (typeof part === "string") return part === "" ? [] : this.#blocks.addText({ kind: "text", text: part });
    if (!isObject(part)) return [];
    const [block] = decodeMessage({ role: "assistant", content: [part] }).blocks;
    if (block?.kind === "text" || block?.kind === "thinking")
      return block.text === "" ? [] : this.#blocks.addText(block);
    return block === undefined ? [] : this.#blocks.addWhole(block);
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
  /** Calls by block index. */
  readonly #calls = new Map<number, CallWriter>();
  /** Member of the delta by block index. */
  readonly #kindOf = new Map<number, "content" | "refusal" | "reasoning_content">();
  /** The texts of the content by block index. `base`: where the text starts in the content. */
  readonly #texts = new Map<number, { base: number; text: string }>();
  /** Characters of the content so far. */
  #contentLength = 0;

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
        const call = this.#calls.get(event.index);
        if (call !== undefined) return this.#encodeCall(call.delta(event.text));
        const member = this.#kindOf.get(event.index);
        if (member === "content") this.#contentLength += event.text.length;
        return member === undefined ? "" : this.#encodeDelta({ [member]: event.text });
      }
      case "close":
        return this.#close(event.index, event.block);
      case "end":
        return this.#end(event);
      case "error":
        return encodeSse({ data: JSON.stringify({ error: errorMembers(event.error) }) });
      case "loss":
        return "";
    }
  }

  /** Annotations count in the whole content, of which the text is a part. */
  #cite(index: number, { citations = [], text }: Text): string {
    const known = this.#texts.get(index);
    if (known === undefined) return "";
    known.text = text || known.text;
    const annotations = encodeAnnotations({ kind: "text", text: known.text, citations }, known.base);
    return annotations.length > 0 ? this.#encodeDelta({ annotations }) : "";
  }

  #open(index: number, block: Block): string {
    if (block.kind === "text" && !block.refusal) this.#texts.set(index, { base: this.#contentLength, text: "" });
    if (block.kind === "thinking") this.#kindOf.set(index, "reasoning_content");
    if (block.kind === "text") this.#kindOf.set(index, block.refusal ? "refusal" : "content");
    if (block.kind !== "tool_call") return "";
    const declared = asDeclared(block, this.#reply);
    const call = new CallWriter(this.#calls.size, declared);
    this.#calls.set(index, call);
    return this.#encodeCall(call.open(declared));
  }

  /** Annotations and log probabilities follow when the text is complete. */
  #close(index: number, block: Block): string {
    if (block.kind === "tool_call") return this.#encodeCall(this.#calls.get(index)?.close(block));
    if (block.kind !== "text") return "";
    const { logprobs = [] } = block;
    return this.#cite(index, block) + (logprobs.length > 0 ? this.#encodeLogprobs(logprobs) : "");
  }

  #end({ finish, usage: counts, late = [], alternatives = [] }: Extract<StreamEvent, { type: "end" }>): string {
    const cited = late.map(({ index, citations }) => this.#cite(index, { kind: "text", text: "", citations }));
    const end = this.#encodeDelta({}, encodeFinish(finish, [...this.#kindOf.values()].includes("refusal")));
    const others = alternatives.map((other, i) => this.#encodeAlternative(other, i + 1));
    const usage = this.#reply.includeUsage ? encodeUsage(counts) : undefined;
    const usageChunk = usage === undefined ? "" : this.#encodeChunk([], { usage });
    return `${cited.join("")}${end}${others.join("")}${usageChunk}${DONE}`;
  }

  readonly #encodeCall = (delta: JsonObject | undefined): string =>
    delta === undefined ? "" : this.#encodeDelta(delta);

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
    const { message, logprobs, finish_reason } = encodeChoice(other, index, this.#reply);
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
const nonEmptyText = (value: Json | undefined): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;
