import { deltaTextOf, toOpenBlock } from "../../canonical/accumulator.ts";
import { GatewayError } from "../../canonical/error.ts";
import type { Block, StreamEvent, Usage } from "../../canonical/types.ts";
import {
  isObject,
  type Json,
  type JsonObject,
  numberOf,
  stringifyMember,
  stringOf,
  tryParseJson,
} from "../../wire/json.ts";
import { encodeSse, type SseEvent } from "../../wire/sse.ts";
import { AnswerCalls } from "../answer-calls.ts";
import type { ReplyContext, StreamDecoder, StreamEncoder } from "../dialect.ts";
import { decodeMalformed } from "../malformed-event.ts";
import { encodeCitations } from "./citations.ts";
import { appendDelta, currentBlock, type OpenBlock, startOfDelta, textOfDelta } from "./deltas.ts";
import { decodeErrorBody, errorMembers } from "./errors.ts";
import { decodeFinish, decodeReply, encodeFinish, encodeReplyBlock, identifyCall, toMessageId } from "./response.ts";
import { decodeUsage, encodeUsage } from "./usage.ts";

const dialect = "anthropic";
/** Terminal event of the wire (Anthropic API, "Streaming messages"). */
const MESSAGE_STOP = encodeSse({ event: "message_stop", data: '{"type":"message_stop"}' });

export const decodeStream = (seal?: string, callId?: string): StreamDecoder => new MessageDecoder(seal, callId);
export const encodeStream = (_: ReplyContext): StreamEncoder => new MessageEncoder();

/**
 * Decodes events with one block open at a time: a block that starts early, as at some hosts, waits until those
 * before it have stopped. The answer is complete with `message_stop`, or with a stop reason before the end of
 * the stream; anything after that (`[DONE]` at OpenRouter) is ignored.
 */
class MessageDecoder implements StreamDecoder {
  readonly terminator = MESSAGE_STOP;
  #envelope: JsonObject = {};
  #usage: JsonObject = {};
  #isOver = false;
  #started = false;
  #hasContent = false;
  /** The count of output is the final one so far: `message_start` has a count before there is any output. */
  #hasOutputCount = false;
  /** All blocks in order of their start; those before `#live` are closed. */
  readonly #blocks: OpenBlock[] = [];
  #live = 0;
  /** The block at `#live` has been opened. */
  #isOpen = false;

  readonly #seal: string | undefined;
  readonly #calls: AnswerCalls;

  constructor(seal: string | undefined, callId: string | undefined) {
    this.#seal = seal;
    this.#calls = new AnswerCalls(callId);
  }

  get isAnswerComplete(): boolean {
    return typeof this.#envelope.stop_reason === "string";
  }

  get isTerminated(): boolean {
    return this.#isOver;
  }

  get usage(): Usage {
    const { output, ...inputUsage } = decodeUsage(Object.keys(this.#usage).length > 0 ? this.#usage : undefined);
    return output === undefined || (this.#hasContent && !this.isAnswerComplete && !this.#hasOutputCount)
      ? inputUsage
      : { ...inputUsage, output };
  }

  push({ data, event }: SseEvent): StreamEvent[] {
    if (data === undefined || data.trim() === "[DONE]") return [];
    const payload = tryParseJson(data);
    if (isObject(payload)) this.#addUsage(payload.usage);
    if (this.#isOver) return [];
    if (!isObject(payload)) return decodeMalformed(data, event, (error) => this.#fail(error));
    return this.#addEvent(payload.type ?? event, payload);
  }

  #addEvent(type: Json | undefined, payload: JsonObject): StreamEvent[] {
    switch (type) {
      case "message_start":
        return this.#start(isObject(payload.message) ? payload.message : {});
      case "content_block_start":
        return [
          ...this.#start({}),
          ...this.#startBlock(payload.index, isObject(payload.content_block) ? payload.content_block : {}),
        ];
      case "content_block_delta":
        return isObject(payload.delta) ? [...this.#start({}), ...this.#append(payload.index, payload.delta)] : [];
      case "content_block_stop":
        return this.#stop(payload.index);
      case "message_delta":
        return this.#updateEnvelope(payload);
      case "message_stop":
        return this.#end();
      case "error":
        return this.#fail(decodeErrorBody(undefined, payload));
      default:
        return [];
    }
  }

  end(): StreamEvent[] {
    if (this.#isOver) return [];
    if (this.isAnswerComplete) return this.#end();
    const closed = this.#isOpen ? this.#close(this.#blocks[this.#live]!) : [];
    const why = "the provider's stream ended before the answer was finished";
    return [...closed, ...this.#fail(new GatewayError("stream.interrupted", why))];
  }

  /** A stream without `message_start` starts with its content. */
  #start(message: JsonObject): StreamEvent[] {
    const { content: _, ...envelope } = message;
    this.#envelope = { ...this.#envelope, ...envelope };
    this.#addUsage(message.usage);
    if (this.#started) return [];
    this.#started = true;
    return [{ type: "start", id: stringifyMember(message.id), model: stringifyMember(message.model) }];
  }

  /** Without its start, a block that is left out has no further events either. */
  #startBlock(index: Json | undefined, started: JsonObject): StreamEvent[] {
    const item = identifyCall({ ...started }, this.#calls);
    if (!isObject(item)) return [];
    this.#blocks.push({ index: numberOf(index) ?? this.#blocks.length, item, partial: "", stopped: false });
    return this.#blocks.length - 1 === this.#live ? this.#open() : [];
  }

  /** A delta without `content_block_start` starts its block, as some hosts send it. */
  #append(index: Json | undefined, delta: JsonObject): StreamEvent[] {
    this.#hasContent = true;
    const known = this.#find(index);
    if (known === undefined) {
      const item = startOfDelta(delta);
      if (item === undefined) return [];
      const started = this.#startBlock(index, item);
      return [...started, ...this.#append(this.#blocks.at(-1)!.index, delta)];
    }
    appendDelta(known, delta);
    if (known !== this.#blocks[this.#live] || !this.#isOpen) return [];
    const text = textOfDelta(known, delta);
    return text === "" ? [] : [{ type: "delta", index: this.#live, text }];
  }

  /** Blocks close in order, so a stop takes effect when all earlier blocks have stopped. */
  #stop(index: Json | undefined): StreamEvent[] {
    const block = this.#find(index);
    if (block === undefined) return [];
    block.stopped = true;
    return this.#closeStopped();
  }

  /** Stop reason and usage arrive in `message_delta`. */
  #updateEnvelope(payload: JsonObject): StreamEvent[] {
    const { type: _, delta, usage: __, ...more } = payload;
    this.#envelope = { ...this.#envelope, ...(isObject(delta) && delta), ...more };
    return [];
  }

  /** Counts are cumulative (Anthropic API, "Streaming messages"); null does not replace a count. */
  #addUsage(usage: Json | undefined): void {
    if (!isObject(usage)) return;
    this.#hasOutputCount ||= this.#started && typeof usage.output_tokens === "number";
    for (const [member, value] of Object.entries(usage)) if (value !== null) this.#usage[member] = value;
  }

  /** The latest block of that index: hosts can use an index twice. */
  #find(index: Json | undefined): OpenBlock | undefined {
    return this.#blocks.findLast((block) => block.index === index && !block.stopped);
  }

  /** A growing block opens at once, any other when it has stopped. */
  #open(): StreamEvent[] {
    const block = this.#blocks[this.#live];
    if (block === undefined || this.#isOpen) return [];
    const view = currentBlock(block, this.#seal);
    if (view.kind !== "text" && view.kind !== "thinking" && view.kind !== "tool_call") return [];
    this.#isOpen = true;
    const text = view.kind === "tool_call" ? block.partial : deltaTextOf(view);
    const open: StreamEvent = { type: "open", index: this.#live, block: toOpenBlock(view) };
    return text === "" ? [open] : [open, { type: "delta", index: this.#live, text }];
  }

  /** Closes the blocks that have stopped, in order, and opens the next one. */
  #closeStopped(): StreamEvent[] {
    const events: StreamEvent[] = [];
    for (let block = this.#blocks[this.#live]; block?.stopped; block = this.#blocks[this.#live]) {
      events.push(...this.#open(), ...this.#close(block));
    }
    return [...events, ...this.#open()];
  }

  /** A block that did not open yet opens whole. */
  #close(block: OpenBlock): StreamEvent[] {
    const index = this.#live++;
    const view = currentBlock(block, this.#seal);
    const events: StreamEvent[] = [];
    if (!this.#isOpen) events.push({ type: "open", index, block: view });
    // Arguments that were part of the start, or absent: a client that only adds deltas needs one.
    else if (view.kind === "tool_call" && block.partial === "")
      events.push({ type: "delta", index, text: view.arguments });
    this.#isOpen = false;
    return [...events, { type: "close", index, block: view }];
  }

  /** Blocks without a stop event count as stopped. */
  #end(): StreamEvent[] {
    for (const block of this.#blocks) block.stopped = true;
    const events = this.#closeStopped();
    this.#isOver = true;
    const { usage: _, ...envelope } = this.#envelope;
    const messages = decodeReply(
      this.#blocks.map((block) => currentBlock(block).native!.item),
      this.#seal,
    );
    const items = messages.flatMap(({ native }) => (native === undefined ? [] : [native]));
    return [
      ...events,
      {
        type: "end",
        ...decodeFinish(envelope, messages, this.#calls),
        usage: decodeUsage(Object.keys(this.#usage).length > 0 ? this.#usage : undefined),
        ...(items.length > 0 && { items }),
        rest: { dialect, item: envelope },
      },
    ];
  }

  #fail(error: GatewayError): StreamEvent[] {
    this.#isOver = true;
    return [{ type: "error", error }];
  }
}

/** A block starts on the wire with its first text: a block without any has no counterpart there. */
class MessageEncoder implements StreamEncoder {
  /** Blocks started on the wire; the last one is open while `#isOpen`. */
  #startedCount = 0;
  #isOpen = false;
  #block: Block | undefined;
  #sentText = "";
  #hasCall = false;

  push(event: StreamEvent): string {
    switch (event.type) {
      case "start":
        return this.#start(event.id, event.model);
      case "open":
        this.#block = event.block;
        this.#sentText = "";
        if (event.block.kind !== "tool_call") return "";
        this.#hasCall = true;
        return this.#startBlock(event.block);
      case "delta": {
        const start = this.#isOpen || this.#block === undefined ? "" : this.#startBlock(this.#block);
        this.#sentText += event.text;
        return start + this.#encodeDelta(toDelta(this.#block?.kind, event.text));
      }
      case "close":
        return this.#close(event.block);
      case "end": {
        const { finish, usage, rest } = event;
        const isOwn = rest?.dialect === dialect;
        const delta = { ...(isOwn && lateMembersOf(rest.item)), ...encodeFinish(finish, this.#hasCall) };
        const last = encodeEvent({ type: "message_delta", delta, usage: encodeUsage(usage, isOwn) });
        return last + MESSAGE_STOP;
      }
      case "error":
        return encodeEvent(errorMembers(event.error));
      case "loss":
        return "";
    }
  }

  /** Only Anthropic has the input count at the start: the last event has all counts. */
  #start(id: string, model: string): string {
    const end = { stop_reason: null, stop_sequence: null };
    const usage = { input_tokens: 0, output_tokens: 0 };
    const message = { id: toMessageId(id), type: "message", role: "assistant", model, content: [], ...end, usage };
    return encodeEvent({ type: "message_start", message });
  }

  #startBlock(block: Block): string {
    return this.#startItem(toStartItem(block) ?? { type: "text", text: "" });
  }

  #startItem(item: JsonObject): string {
    this.#isOpen = true;
    return encodeEvent({ type: "content_block_start", index: this.#startedCount++, content_block: item });
  }

  #encodeDelta(delta: JsonObject): string {
    return encodeEvent({ type: "content_block_delta", index: this.#startedCount - 1, delta });
  }

  #close(block: Block): string {
    let text = "";
    if (!this.#isOpen) {
      // Items of this wire without deltas, and sealed ones, are passed unchanged.
      const item = encodeReplyBlock(block);
      if (item === undefined || (block.kind === "text" && block.text === "")) return "";
      text += this.#startItem(toStartItem(block) ?? item);
    }
    const unsent = this.#sentText === "" ? deltaTextOf(block) : "";
    if (unsent !== "") text += this.#encodeDelta(toDelta(block.kind, unsent));
    if (block.kind === "text")
      for (const citation of encodeCitations(block)) text += this.#encodeDelta({ type: "citations_delta", citation });
    const signature = signatureOf(block);
    if (signature !== undefined) text += this.#encodeDelta({ type: "signature_delta", signature });
    this.#isOpen = false;
    return text + encodeEvent({ type: "content_block_stop", index: this.#startedCount - 1 });
  }
}

/**
 * `content_block` of a growing block; `undefined` for one that is sent whole, redacted thinking included.
 */
function toStartItem(block: Block): JsonObject | undefined {
  if (block.kind === "text") return { type: "text", text: "" };
  if (block.kind === "tool_call") return { type: "tool_use", id: block.id, name: block.name, input: {} };
  const isRedacted = isObject(block.native?.item) && block.native.item.type === "redacted_thinking";
  return block.kind === "thinking" && !isRedacted ? { type: "thinking", thinking: "", signature: "" } : undefined;
}

function toDelta(kind: Block["kind"] | undefined, text: string): JsonObject {
  if (kind === "thinking") return { type: "thinking_delta", thinking: text };
  return kind === "tool_call" ? { type: "input_json_delta", partial_json: text } : { type: "text_delta", text };
}

/** Clients of this wire can use signatures of this wire only. */
function signatureOf({ kind, native }: Block): string | undefined {
  if (kind !== "thinking" || native?.dialect !== dialect || !isObject(native.item)) return undefined;
  return stringOf(native.item.signature);
}

/** Members of the envelope that a stream has in `message_delta`. */
function lateMembersOf(envelope: Json): JsonObject {
  if (!isObject(envelope)) return {};
  const late = ["stop_details", "container"].filter((member) => envelope[member] !== undefined);
  return Object.fromEntries(late.map((member) => [member, envelope[member]!]));
}

const encodeEvent = (event: JsonObject & { type: string }): string =>
  encodeSse({ event: event.type, data: JSON.stringify(event) });
