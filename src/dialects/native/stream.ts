import { appendText, deltaTextOf, toOpenBlock } from "../../canonical/accumulator.ts";
import { addLate } from "../../canonical/citations.ts";
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
import { decodeBlock } from "./blocks.ts";
import { decodeErrorBody, errorMembers } from "./errors.ts";
import { decodeFinish, decodeOutput, encodeCall, encodeOutput } from "./response.ts";
import { decodeUsage, encodeUsage } from "./usage.ts";

const dialect = "native";

export const decodeStream = (_seal?: string, callId?: string): StreamDecoder => new CallDecoder(callId);
export const encodeStream = (reply: ReplyContext): StreamEncoder => new CallEncoder(reply);

/**
 * Decodes the events of docs/native.md. Deltas have the index of their block in the output. `call.completed`
 * repeats the whole output, and with it the blocks that had no deltas.
 */
class CallDecoder implements StreamDecoder {
  #open: { index: number; block: Block } | undefined;
  /** Indexes of the blocks that were opened. */
  readonly #seen = new Set<number>();
  #isOver = false;
  /** The latest usage object, as received until it is needed. */
  #usage: Json | undefined;
  #isFinished = false;
  readonly #calls: AnswerCalls;

  constructor(callId: string | undefined) {
    this.#calls = new AnswerCalls(callId);
  }

  get isAnswerComplete(): boolean {
    return this.#isFinished;
  }

  get isTerminated(): boolean {
    return this.#isOver;
  }

  get usage(): Usage {
    return decodeUsage(this.#usage);
  }

  push({ data, event }: SseEvent): StreamEvent[] {
    if (data === undefined) return [];
    const payload = tryParseJson(data);
    if (isObject(payload) && isObject(payload.usage)) this.#usage = payload.usage;
    if (this.#isOver) return [];
    if (!isObject(payload)) return decodeMalformed(data, event, (error) => this.#fail(error));
    return this.#addEvent(payload.type ?? event, payload);
  }

  #addEvent(type: Json | undefined, payload: JsonObject): StreamEvent[] {
    switch (type) {
      case "call.started": {
        const call = isObject(payload.call) ? payload.call : {};
        return [{ type: "start", id: stringifyMember(call.id), model: stringifyMember(call.model) }];
      }
      case "response.delta":
        return this.#append(
          payload,
          { kind: "text", text: "", ...(payload.refusal === true && { refusal: true }) },
          payload.text,
        );
      case "thinking.delta":
        return this.#append(payload, { kind: "thinking", text: "" }, payload.text);
      case "tool_call.started":
      case "tool_call.delta": {
        const call = {
          kind: "tool_call",
          id: stringifyMember(payload.id),
          name: stringifyMember(payload.name),
          arguments: "",
        } as const;
        return this.#append(payload, call, payload.arguments);
      }
      case "tool_call.done":
        return this.#finishCall(payload);
      case "call.completed":
        return this.#end(payload);
      case "call.failed":
        return this.#fail(decodeErrorBody(undefined, payload));
      default:
        return [];
    }
  }

  end(): StreamEvent[] {
    if (this.#isOver) return [];
    const why = "the provider's stream ended before the answer was finished";
    return this.#fail(new GatewayError("stream.interrupted", why));
  }

  /**
   * `initial`: the block to open if the delta belongs to the next one. Deltas of a closed block are ignored.
   */
  #append({ index }: JsonObject, initial: Block, more: Json | undefined): StreamEvent[] {
    const at = numberOf(index) ?? this.#open?.index ?? 0;
    const isOpen = at === this.#open?.index;
    if (!isOpen && (this.#seen.has(at) || isUnidentified(initial))) return [];
    const events = isOpen ? [] : [...this.#close(), ...this.#start(at, initial)];
    const text = stringOf(more) ?? "";
    const open = this.#open;
    if (open === undefined || text === "") return events;
    open.block = appendText(open.block, text);
    return [...events, { type: "delta", index: at, text }];
  }

  /** `tool_call.done` has the finished block. */
  #finishCall({ index, block }: JsonObject): StreamEvent[] {
    const isOpenBlock = this.#open !== undefined && this.#open.index === index && isObject(block);
    return isOpenBlock ? this.#close(decodeBlock(block)) : [];
  }

  #start(index: number, block: Block): StreamEvent[] {
    this.#open = { index, block };
    this.#seen.add(index);
    return [{ type: "open", index, ...(index > 0 && { item: index }), block }];
  }

  /** `finished`: the block as the stream itself has it at the end. */
  #close(finished?: Block): StreamEvent[] {
    const open = this.#open;
    if (open === undefined) return [];
    this.#open = undefined;
    return [{ type: "close", index: open.index, block: finished ?? open.block }];
  }

  /** Blocks that had no deltas are emitted first, each with one delta. */
  #end(payload: JsonObject): StreamEvent[] {
    const output = Array.isArray(payload.output) ? payload.output : [];
    const messages = decodeOutput(output, this.#calls);
    const last = this.#open === undefined ? undefined : messages[this.#open.index]?.blocks[0];
    const late = messages.flatMap((message, index) => {
      const block = message?.blocks[0];
      return block?.kind === "text" &&
        block.citations !== undefined &&
        this.#seen.has(index) &&
        index !== this.#open?.index
        ? [{ index, citations: block.citations }]
        : [];
    });
    const events = this.#close(last?.kind === this.#open?.block.kind ? last : undefined);
    messages.forEach((message, index) => {
      const block = message?.blocks[0];
      if (this.#seen.has(index) || block === undefined) return;
      events.push(...this.#start(index, toOpenBlock(block)));
      const text = deltaTextOf(block);
      if (text !== "") events.push({ type: "delta", index, text });
      events.push(...this.#close(block));
    });
    this.#isOver = true;
    this.#isFinished = true;
    const { type: _, event_id: __, output: ___, ...envelope } = payload;
    const received = messages.flatMap((message) => message ?? []);
    const finish = decodeFinish(isObject(payload.call) ? payload.call : {}, received, this.#calls);
    const items = messages.map((message) => message?.native);
    return [
      ...events,
      {
        type: "end",
        ...finish,
        usage: decodeUsage(payload.usage),
        ...(items.length > 0 && { items }),
        ...(late.length > 0 && { late }),
        rest: { dialect, item: envelope },
      },
    ];
  }

  /** The open block closes with what was received. */
  #fail(error: GatewayError): StreamEvent[] {
    this.#isOver = true;
    return [...this.#close(), { type: "error", error }];
  }
}

/** A call without name or id, as when its start was left out: `call.completed` repeats it. */
const isUnidentified = (block: Block): boolean => block.kind === "tool_call" && (block.name === "" || block.id === "");

/**
 * Events are numbered from 1. The number is the member `event_id` and the id of the server-sent event.
 */
class CallEncoder implements StreamEncoder {
  #events = 0;
  #id = "";
  #model = "";
  #sentText = "";
  #block: Block | undefined;
  /** Closed blocks by index; the output of `call.completed`. */
  readonly #output: Block[] = [];

  readonly #reply: ReplyContext;

  constructor(reply: ReplyContext) {
    this.#reply = reply;
  }

  push(event: StreamEvent): string {
    switch (event.type) {
      case "start":
        this.#id = event.id;
        this.#model = event.model;
        return this.#encodeEvent("call.started", { call: this.#encodeCall("running") });
      case "open":
        this.#sentText = "";
        this.#block = event.block;
        if (event.block.kind !== "tool_call") return "";
        return this.#encodeEvent("tool_call.started", {
          index: event.index,
          id: event.block.id,
          name: event.block.name,
        });
      case "delta":
        this.#sentText += event.text;
        return this.#encodeDelta(event.index, event.text);
      // A block that had no deltas is sent with one.
      case "close": {
        const { index, block } = event;
        const unsent = this.#sentText === "" ? deltaTextOf(block) : "";
        const delta = unsent === "" ? "" : this.#encodeDelta(index, unsent);
        this.#output[index] = block;
        if (block.kind !== "tool_call") return delta;
        return delta + this.#encodeEvent("tool_call.done", { index, block: encodeOutput(block) });
      }
      case "end": {
        const { finish, usage } = event;
        addLate(this.#output, event.late);
        const id = this.#id;
        const call = encodeCall({ id, model: this.#model, status: "completed", finish }, this.#reply);
        const output = this.#output.filter(Boolean).map(encodeOutput);
        return this.#encodeEvent("call.completed", { call, output, usage: encodeUsage(usage) });
      }
      case "error": {
        const call = this.#encodeCall("failed");
        return this.#encodeEvent("call.failed", { call, error: errorMembers(event.error, stringifyMember(call.id)) });
      }
      case "loss":
        return "";
    }
  }

  /** `event_id` continues after that of the last event. */
  resumeAfter({ data }: SseEvent): void {
    const last = tryParseJson(data ?? "");
    this.#events = Math.max(this.#events, (isObject(last) && numberOf(last.event_id)) || 0);
  }

  #encodeCall(status: "running" | "failed"): JsonObject {
    return encodeCall({ id: this.#id, model: this.#model, status }, this.#reply);
  }

  /** Media and opaque blocks have no deltas: they are part of the output of `call.completed`. */
  #encodeDelta(index: number, text: string): string {
    const block = this.#block;
    if (block?.kind === "tool_call") return this.#encodeEvent("tool_call.delta", { index, arguments: text });
    if (block?.kind === "thinking") return this.#encodeEvent("thinking.delta", { index, text });
    if (block?.kind !== "text") return "";
    return this.#encodeEvent("response.delta", { index, text, ...(block.refusal && { refusal: true }) });
  }

  #encodeEvent(type: string, members: JsonObject): string {
    const id = ++this.#events;
    return encodeSse({ event: type, id: String(id), data: JSON.stringify({ type, event_id: id, ...members }) });
  }
}
