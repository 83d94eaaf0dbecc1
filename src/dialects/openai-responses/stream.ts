import type { LateCitations } from "../../canonical/citations.ts";
import { GatewayError } from "../../canonical/error.ts";
import type { Block, Native, StreamEvent, Usage } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, numberOf, stringifyMember, tryParseJson } from "../../wire/json.ts";
import { encodeSse, type SseEvent } from "../../wire/sse.ts";
import { AnswerCalls } from "../answer-calls.ts";
import type { ReplyContext, StreamDecoder, StreamEncoder } from "../dialect.ts";
import { decodeMalformed } from "../malformed-event.ts";
import { decodeStreamError, errorMembers } from "../openai/errors.ts";
import { annotatePart } from "./citations.ts";
import { ItemReader, ItemWriter } from "./item-stream.ts";
import { responseIdOf, toOutputBlocks } from "./items.ts";
import { decodeMessage } from "./messages.ts";
import { decodeEnvelope, decodeFinish, encodeEnvelope, type Envelope, incompleteReason } from "./response.ts";
import { decodeUsage } from "./usage.ts";

const dialect = "openai-responses";

export const decodeStream = (seal?: string, callId?: string): StreamDecoder => new ResponsesDecoder(seal, callId);
export const encodeStream = (reply: ReplyContext): StreamEncoder => new ResponsesEncoder(reply);

/** One output item. `isDone`: it was closed; later events of it are ignored. */
type Slot = { outputIndex: Json | undefined; reader: ItemReader; isDone: boolean };

/**
 * Decodes events with one block open at a time: an item that starts while another is open waits for it. The
 * type of an event is read from its data, because OpenRouter sends no `event:` lines (and a `[DONE]` at the
 * end).
 */
class ResponsesDecoder implements StreamDecoder {
  #hasStarted = false;
  #isOver = false;
  #usage: Json | undefined;
  #nextIndex = 0;
  readonly #slots: Slot[] = [];
  /** Events of items that started while another was open. */
  #waiting: JsonObject[] = [];
  /** The blocks received so far; the finish reason depends on them. */
  readonly #blocks: Block[] = [];

  readonly #seal: string | undefined;
  readonly #calls: AnswerCalls;

  constructor(seal: string | undefined, callId: string | undefined) {
    this.#seal = seal;
    this.#calls = new AnswerCalls(callId);
  }

  get isAnswerComplete(): boolean {
    return this.#isOver;
  }

  get isTerminated(): boolean {
    return this.#isOver;
  }

  get usage(): Usage {
    return decodeUsage(this.#usage);
  }

  push({ data, event: name }: SseEvent): StreamEvent[] {
    if (data === undefined || data.trim() === "[DONE]") return [];
    const event = tryParseJson(data);
    if (isObject(event) && isObject(event.response) && isObject(event.response.usage))
      this.#usage = event.response.usage;
    if (this.#isOver) return [];
    if (!isObject(event)) return decodeMalformed(data, name, (error) => this.#fail(error));
    return this.#recordBlocks(this.#addEvent(event));
  }

  end(): StreamEvent[] {
    if (this.#isOver) return [];
    const error = new GatewayError("stream.interrupted", "the provider's stream ended before the answer was finished");
    return [...(this.#current?.reader.interrupt() ?? []), ...this.#fail(error)];
  }

  /**
   * Events of the response as a whole. Events with an `output_index` belong to an item; all others have no
   * content.
   */
  #addEvent(event: JsonObject): StreamEvent[] {
    const response = isObject(event.response) ? event.response : {};
    switch (event.type) {
      case "response.created":
      case "response.queued":
      case "response.in_progress":
        return this.#start(response);
      case "response.completed":
      case "response.incomplete":
        return [...this.#start(response), ...this.#end(response)];
      case "response.failed":
        return this.#fail(decodeStreamError(response));
      case "error":
        return this.#fail(decodeStreamError(event));
      case undefined:
        return isObject(event.error) ? this.#fail(decodeStreamError(event)) : [];
      default:
        return event.output_index === undefined ? [] : [...this.#start({}), ...this.#addItemEvent(event)];
    }
  }

  #start({ id, model }: JsonObject): StreamEvent[] {
    if (this.#hasStarted) return [];
    this.#hasStarted = true;
    return [{ type: "start", id: stringifyMember(id), model: stringifyMember(model) }];
  }

  /** The item whose blocks are being emitted. */
  get #current(): Slot | undefined {
    return this.#slots.find(({ isDone }) => !isDone);
  }

  #addItemEvent(event: JsonObject): StreamEvent[] {
    const outputIndex = event.output_index;
    const known = this.#slots.findLast((slot) => slot.outputIndex === outputIndex);
    const current = this.#current;
    if (current !== undefined && current !== known && known?.isDone !== true) {
      if (current.reader.item.type !== "reasoning" || event.type !== "response.output_item.added") {
        this.#waiting.push(event);
        return [];
      }
      // OpenRouter sends the end of its reasoning with the end of the response: the answer does not wait for
      // that.
      current.isDone = true;
      return [...current.reader.interrupt(), ...this.#startItem(event)];
    }
    if (known === undefined)
      return event.type === "response.output_item.done" ? this.#addWholeItem(event) : this.#startItem(event);
    if (event.type !== "response.output_item.done") return known.isDone ? [] : known.reader.push(event);
    return this.#finishItem(known, event.item);
  }

  #startItem(event: JsonObject): StreamEvent[] {
    const reader = new ItemReader(
      event.item,
      { ordinal: this.#slots.length, nextIndex: () => this.#nextIndex++ },
      this.#calls,
      this.#seal,
    );
    this.#slots.push({ outputIndex: event.output_index, reader, isDone: false });
    return event.type === "response.output_item.added" ? reader.start() : reader.push(event);
  }

  /** An item that was not announced arrives whole. */
  #addWholeItem(event: JsonObject): StreamEvent[] {
    const started = this.#startItem({ ...event, type: "response.output_item.added" });
    return [...started, ...this.#finishItem(this.#slots.at(-1)!, event.item)];
  }

  /** Closes the item, then processes the events that waited for it. */
  #finishItem(slot: Slot, item: Json | undefined): StreamEvent[] {
    const { isDone, reader } = slot;
    slot.isDone = true;
    const events = reader.done(isObject(item) ? item : reader.item);
    const waiting = this.#waiting;
    this.#waiting = [];
    return [...(isDone ? [] : events), ...waiting.flatMap((event) => this.#addItemEvent(event))];
  }

  /**
   * Items of the completed response take precedence over those of the events; some hosts repeat none of them.
   */
  #end(response: JsonObject): StreamEvent[] {
    const output = Array.isArray(response.output) ? response.output : [];
    const events: StreamEvent[] = [];
    for (let slot = this.#current; slot !== undefined; slot = this.#current)
      events.push(...this.#finishItem(slot, findFinalItem(slot.outputIndex, slot.reader.item, output)));
    output.forEach((item, outputIndex) => {
      const isKnown = this.#slots.some((slot) => findFinalItem(slot.outputIndex, slot.reader.item, output) === item);
      if (!isKnown) events.push(...this.#addWholeItem({ output_index: outputIndex, item }));
    });
    this.#recordBlocks(events);
    this.#isOver = true;
    const items = this.#slots.map((slot): Native | undefined => {
      const item = slot.reader.complete(findFinalItem(slot.outputIndex, slot.reader.item, output));
      return item && decodeMessage(item, this.#seal).native;
    });
    const finish = this.#calls.finish(decodeFinish(response, this.#blocks), this.#blocks);
    const usage = decodeUsage(response.usage);
    const late = this.#slots.flatMap(({ outputIndex, reader }) =>
      reader.listLate(findFinalItem(outputIndex, reader.item, output) ?? reader.item),
    );
    const cited = late.length > 0 && { late };
    return [...events, { type: "end", ...finish, usage, items, rest: decodeEnvelope(response), ...cited }];
  }

  /** Returns the events unchanged. */
  #recordBlocks(events: StreamEvent[]): StreamEvent[] {
    if (!this.#isOver) for (const event of events) if (event.type === "close") this.#blocks.push(event.block);
    return events;
  }

  #fail(error: GatewayError): StreamEvent[] {
    this.#isOver = true;
    return [{ type: "error", error }];
  }
}

/**
 * The item in the completed response: by id and type (llama.cpp has one id for two items), otherwise by
 * position (ids of Copilot change with every event).
 */
function findFinalItem(
  outputIndex: Json | undefined,
  { id, type }: JsonObject,
  output: readonly Json[],
): JsonObject | undefined {
  const items = output.filter(isObject);
  const same = items.find((item) => id !== undefined && item.id === id && item.type === type);
  const atIndex = typeof outputIndex === "number" ? output[outputIndex] : undefined;
  return same ?? (isObject(atIndex) && atIndex.type === type ? atIndex : undefined);
}

/**
 * Encodes events in the order of the API reference (Responses: streaming), with consecutive sequence numbers.
 */
class ResponsesEncoder implements StreamEncoder {
  #sequence = 0;
  #head: { id: string; model: string } | undefined;
  #writer: ItemWriter | undefined;
  readonly #output: JsonObject[] = [];
  /** Positions of the texts by block index. */
  readonly #texts = new Map<number, { output_index: number; content_index: number }>();
  /**
   * A text without content so far: it is announced with its first delta, because an empty text has no item.
   */
  #pendingText: Extract<StreamEvent, { type: "open" }> | undefined;

  readonly #reply: ReplyContext;

  constructor(reply: ReplyContext) {
    this.#reply = reply;
  }

  push(event: StreamEvent): string {
    switch (event.type) {
      case "start":
        this.#head = { id: this.#reply.id ?? responseIdOf(event.id), model: event.model };
        return this.#encodeState("response.created", {}) + this.#encodeState("response.in_progress", {});
      case "open":
        this.#pendingText = event.block.kind === "text" ? event : undefined;
        if (this.#pendingText !== undefined) return "";
        return toOutputBlocks(event.block)
          .map((block) => this.#open({ ...event, block }))
          .join("");
      case "delta":
        return this.#startPendingText() + (this.#writer?.delta(event.text) ?? "");
      case "close": {
        const isStarted = event.block.kind === "text" && this.#pendingText === undefined;
        return (isStarted ? [event.block] : toOutputBlocks(event.block))
          .map((block) => this.#startPendingText() + (this.#writer?.close(block) ?? ""))
          .join("");
      }
      case "end":
        return this.#end(event);
      case "error":
        return this.#fail(event.error);
      case "loss":
        return "";
    }
  }

  /** `sequence_number` continues after that of the last event. */
  resumeAfter({ data }: SseEvent): void {
    const last = tryParseJson(data ?? "");
    this.#sequence = Math.max(this.#sequence, ((isObject(last) && numberOf(last.sequence_number)) || 0) + 1);
  }

  #startPendingText(): string {
    const text = this.#pendingText;
    this.#pendingText = undefined;
    return text === undefined ? "" : this.#open(text);
  }

  #open({ index, item, id, block }: Extract<StreamEvent, { type: "open" }>): string {
    const isPart = this.#writer?.accepts(block, item) === true;
    if (isPart && block.kind === "text")
      this.#texts.set(index, { output_index: this.#output.length, content_index: this.#writer!.partCount });
    if (isPart) return this.#writer!.open(block);
    const ended = this.#endItem();
    if (block.kind === "text") this.#texts.set(index, { output_index: this.#output.length, content_index: 0 });
    const responseId = this.#head?.id ?? "";
    this.#writer = new ItemWriter(
      block,
      { responseId, index: this.#output.length, id, ordinal: item },
      this.#encodeEvent,
    );
    return ended + this.#writer.start() + this.#writer.open(block);
  }

  /** The whole response has the items of the provider, if they came over this wire. */
  #end({ finish, usage, rest, late, items = [] }: Extract<StreamEvent, { type: "end" }>): string {
    const last = this.#endItem() + this.#encodeLate(late);
    const natives = items.map((native) => (native?.dialect === dialect ? native.item : null));
    const output = this.#output.map((item, outputIndex) => ({
      ...(findFinalItem(outputIndex, item, natives) ?? item),
      id: item.id!,
    }));
    const type = incompleteReason(finish, output) === undefined ? "response.completed" : "response.incomplete";
    return last + this.#encodeState(type, { output, finish, usage, rest });
  }

  /** Annotations of parts that are done: as events, and in the whole response. */
  #encodeLate(late: LateCitations = []): string {
    const events = late.map(({ index, citations }) => {
      const { output_index, content_index } = this.#texts.get(index) ?? { output_index: -1, content_index: 0 };
      const item = this.#output[output_index];
      if (item === undefined) return "";
      const { cited, first, added } = annotatePart(item, content_index, citations);
      this.#output[output_index] = cited;
      const position = { item_id: item.id!, output_index, content_index };
      const encode = (annotation: Json, i: number): string =>
        this.#encodeEvent("response.output_text.annotation.added", {
          ...position,
          annotation_index: first + i,
          annotation,
        });
      return added.map(encode).join("");
    });
    return events.join("");
  }

  #endItem(): string {
    const writer = this.#writer;
    if (writer === undefined) return "";
    this.#writer = undefined;
    this.#output.push(writer.item);
    return writer.end();
  }

  /**
   * SDKs throw on an `error` event, whereas `response.failed` has the output so far. The latter needs a
   * response that has started.
   */
  #fail(error: GatewayError): string {
    if (this.#head !== undefined) return this.#encodeState("response.failed", { output: this.#output, error });
    const members = errorMembers(error);
    // The specification has these members at the top level, the API nests them; clients read either.
    const { message, code, param } = members;
    return this.#encodeEvent("error", { code: code!, message: message!, param: param!, error: members });
  }

  /** An event with the whole response object. */
  #encodeState(type: string, state: Omit<Envelope, "id" | "model">): string {
    const head = this.#head ?? { id: this.#reply.id ?? responseIdOf(""), model: "" };
    return this.#encodeEvent(type, { response: encodeEnvelope({ ...head, ...state }, this.#reply) });
  }

  readonly #encodeEvent = (type: string, members: JsonObject): string =>
    encodeSse({ event: type, data: JSON.stringify({ type, sequence_number: this.#sequence++, ...members }) });
}
