import { deltaTextOf, toOpenBlock } from "../../canonical/accumulator.ts";
import type { LateCitations } from "../../canonical/citations.ts";
import {
  CUSTOM_START,
  customArguments,
  CustomInputReader,
  escapeCustomInput,
  readCustomInput,
} from "../../canonical/custom-tools.ts";
import type { Block, StreamEvent } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, numberOf, stringifyMember, stringOf } from "../../wire/json.ts";
import type { AnswerCalls } from "../answer-calls.ts";
import { decodePart } from "./blocks.ts";
import { encodeAnnotations, PartCitations } from "./citations.ts";
import { continuesMessage, itemIdFor, encodeOpenItem, encodeOutputItem, encodeOutputPart, ownIdOf } from "./items.ts";
import { decodeMessage, PARAGRAPH } from "./messages.ts";
import { listServerEvents } from "./servers/server-events.ts";
import { withText } from "./text.ts";
import { addMissing, extendCall, identifyCall, isCallItem, isIdentified } from "./tool-calls.ts";

/** What an event does. `at`: position of its part in the item. */
type EventStep = (reader: ItemReader, event: JsonObject, at: number) => StreamEvent[];

/**
 * Decodes the events of one output item to blocks. A block closes when the next one opens or the item is done.
 * `response.output_item.done` has the whole item: text that no delta had is emitted then, so nothing is missing
 * where a host sends few events.
 */
export class ItemReader {
  #item: JsonObject;
  /** `at`: position of the block in the item. `section`: the part of reasoning that the last delta belonged to. */
  #open: { index: number; at: number; block: Block; receivedText: string; section?: string } | undefined;
  /** Positions in the item whose blocks were opened. */
  readonly #openedParts = new Set<number>();
  /**
   * `content_index` of each part in order of arrival: Bedrock counts the reasoning before a message as its
   * first part.
   */
  readonly #parts: Json[] = [];
  readonly #citations = new PartCitations();

  readonly #ordinal: number;
  readonly #nextIndex: () => number;
  readonly #calls: AnswerCalls;
  readonly #seal: string | undefined;
  /** The item was done, and is a call that is left out. */
  #isLeftOut = false;

  /** `calls`: gives ids to the calls of the answer, or leaves them out. */
  constructor(
    item: Json | undefined,
    position: { ordinal: number; nextIndex: () => number },
    calls: AnswerCalls,
    seal: string | undefined,
  ) {
    this.#item = isObject(item) ? item : { type: "message" };
    this.#ordinal = position.ordinal;
    this.#nextIndex = position.nextIndex;
    this.#calls = calls;
    this.#seal = seal;
  }

  get item(): JsonObject {
    return this.#item;
  }

  /** Reasoning and calls open with their item, texts with their part. A call without name or id waits for the whole. */
  start(): StreamEvent[] {
    if (this.#item.type !== "reasoning" && !isIdentified(this.#item)) return [];
    const [block] = decodeMessage(this.#item).blocks;
    return block === undefined ? [] : this.#start(0, toOpenBlock(block));
  }

  /** An event of the item; one of a type that is not listed has no content. */
  push(event: JsonObject): StreamEvent[] {
    if (this.#open === undefined && isCallItem(this.#item)) {
      this.#item = extendCall(this.#item, event);
      return [];
    }
    const at = this.#partPosition(numberOf(event.content_index) ?? 0);
    return ItemReader.#STEPS.get(event.type)?.(this, event, at) ?? [];
  }

  /** Events of the API reference (Responses: streaming), and `response.reasoning.delta` of compatible hosts. */
  static readonly #STEPS = new Map<Json | undefined, EventStep>([
    ["response.content_part.added", (reader, { part }, at) => reader.#startPart(at, decodePart(part ?? null))],
    ["response.content_part.done", (reader, { part }, at) => reader.#finishPart(at, part ?? null)],
    ["response.output_text.delta", (reader, { delta }, at) => [...reader.#startText(at), ...reader.#append(delta)]],
    ["response.output_text.done", (reader, { text }, at) => [...reader.#startText(at), ...reader.#appendRest(text)]],
    ["response.output_text.annotation.added", (reader, event, at) => reader.#citations.add(at, event.annotation)],
    ["response.refusal.delta", (reader, { delta }, at) => [...reader.#startText(at, true), ...reader.#append(delta)]],
    [
      "response.refusal.done",
      (reader, { refusal }, at) => [...reader.#startText(at, true), ...reader.#appendRest(refusal)],
    ],
    [
      "response.reasoning_summary_text.delta",
      (reader, event) => reader.#appendReasoning(`summary ${stringifyMember(event.summary_index)}`, event.delta),
    ],
    ["response.reasoning_text.delta", (reader, { delta }, at) => reader.#appendReasoning(`content ${at}`, delta)],
    ["response.reasoning.delta", (reader, { delta }, at) => reader.#appendReasoning(`content ${at}`, delta)],
    ["response.function_call_arguments.delta", (reader, { delta }) => reader.#append(delta)],
    ["response.function_call_arguments.done", (reader, event) => reader.#appendRest(event.arguments)],
    ["response.custom_tool_call_input.delta", (reader, { delta }) => reader.#appendInput(delta)],
    ["response.custom_tool_call_input.done", (reader, { input }) => reader.#appendRest(customArguments(input))],
  ]);

  /** Closes the open block with the text still missing, and emits every block that no event had. */
  done(item: JsonObject): StreamEvent[] {
    const identified = identifyCall(addMissing(item, this.#item), this.#calls);
    this.#isLeftOut = identified === undefined;
    if (!isObject(identified)) return [];
    this.#item = identified;
    this.#citations.keep(identified.content);
    const { blocks } = decodeMessage(identified, this.#seal);
    const events = this.#close(this.#open === undefined ? undefined : blocks[this.#open.at]);
    blocks.forEach((block, at) => {
      if (this.#openedParts.has(at)) return;
      events.push(...this.#start(at, toOpenBlock(block)), ...this.#close(block));
    });
    return events;
  }

  /** The item in the form that the completed response has it, if it has it; undefined if the item is left out. */
  complete(final: JsonObject | undefined): JsonObject | undefined {
    if (this.#isLeftOut) return undefined;
    return final === undefined ? this.#item : addMissing(final, this.#item);
  }

  /** The citations that arrived when their text had closed. `item`: that of the completed response. */
  listLate = (item: JsonObject): LateCitations => this.#citations.listLate(decodeMessage(item).blocks);

  /** Closes the open block as far as it was received. */
  interrupt(): StreamEvent[] {
    return this.#close(undefined);
  }

  #partPosition(contentIndex: Json): number {
    const known = this.#parts.indexOf(contentIndex);
    return known < 0 ? this.#parts.push(contentIndex) - 1 : known;
  }

  #startText(at: number, refusal?: true): StreamEvent[] {
    if (this.#open?.at === at) return [];
    return [...this.#close(undefined), ...this.#start(at, { kind: "text", text: "", ...(refusal && { refusal }) })];
  }

  /** Parts of other items than messages open with their item or with their first text. */
  #startPart(at: number, part: Block): StreamEvent[] {
    return this.#item.type === "message" && part.kind === "text" ? this.#startText(at, part.refusal) : [];
  }

  #finishPart(at: number, part: Json): StreamEvent[] {
    this.#citations.keep([part], at);
    if (this.#item.type === "message" && this.#open?.at === at) this.#open.block = decodePart(part);
    return [];
  }

  /** A new section is separated as a paragraph, as in the text of a whole item. */
  #appendReasoning(section: string, delta: Json | undefined): StreamEvent[] {
    const open = this.#open;
    if (open === undefined) return [];
    const isNext = open.receivedText !== "" && open.section !== section;
    open.section = section;
    return this.#append(isNext ? `${PARAGRAPH}${stringOf(delta) ?? ""}` : delta);
  }

  /** The input of a custom tool as its arguments, which hold it as an escaped text. */
  #appendInput(delta: Json | undefined): StreamEvent[] {
    const start = this.#open?.receivedText === "" ? CUSTOM_START : "";
    return this.#append(`${start}${escapeCustomInput(stringOf(delta) ?? "")}`);
  }

  #start(at: number, block: Block): StreamEvent[] {
    const index = this.#nextIndex();
    this.#openedParts.add(at);
    this.#open = { index, at, block, receivedText: "" };
    const id = stringOf(this.#item.id);
    const origin = { ...(this.#ordinal > 0 && { item: this.#ordinal }), ...(id !== undefined && { id }) };
    return [{ type: "open", index, ...origin, block }];
  }

  /** A value of another type is no text. */
  #append(text: Json | undefined): StreamEvent[] {
    const open = this.#open;
    if (open === undefined || typeof text !== "string" || text === "") return [];
    open.receivedText += text;
    return [{ type: "delta", index: open.index, text }];
  }

  /** Emits what is missing up to the full text; nothing if the deltas had another text. */
  #appendRest(whole: Json | undefined): StreamEvent[] {
    const fullText = stringifyMember(whole);
    const received = this.#open?.receivedText ?? "";
    return fullText.startsWith(received) ? this.#append(fullText.slice(received.length)) : [];
  }

  #close(finished: Block | undefined): StreamEvent[] {
    const open = this.#open;
    if (open === undefined) return [];
    const block = this.#citations.close(open, finished ?? withText(open.block, open.receivedText));
    const rest = this.#appendRest(deltaTextOf(block));
    this.#open = undefined;
    return [...rest, { type: "close", index: open.index, block }];
  }
}

/** Encodes one event, with its sequence number. */
type EmitEvent = (type: string, members: JsonObject) => string;

/** `id`: the id of the item, if it came over this wire. `ordinal`: its position in the answer of the provider. */
type ItemPosition = { responseId: string; index: number; id: string | undefined; ordinal: number | undefined };

/** Encodes the blocks of one output item as events of the wire. Inverse of `ItemReader`. */
export class ItemWriter {
  readonly #id: string;
  readonly #blocks: Block[] = [];
  #sentText = "";
  #isRefusal = false;
  /** Finds the text in the arguments of a custom tool's call. */
  readonly #input: CustomInputReader | undefined;

  readonly #first: Block;
  readonly #index: number;
  readonly #ordinal: number | undefined;
  readonly #emit: EmitEvent;

  constructor(first: Block, position: ItemPosition, emit: EmitEvent) {
    const { id, responseId, index, ordinal } = position;
    this.#first = first;
    this.#input = first.kind === "tool_call" && first.custom ? new CustomInputReader() : undefined;
    this.#index = index;
    this.#ordinal = ordinal;
    this.#emit = emit;
    this.#id = id ?? ownIdOf(first) ?? itemIdFor(first, responseId, index);
  }

  get item(): JsonObject {
    return encodeOutputItem(this.#id, this.#blocks);
  }

  start(): string {
    return this.#emit("response.output_item.added", {
      output_index: this.#index,
      item: encodeOpenItem(this.#id, this.#first),
    });
  }

  /** Number of the parts that are done. */
  get partCount(): number {
    return this.#blocks.length;
  }

  /** Whether a block is the next part of this item. */
  accepts(block: Block, ordinal: number | undefined): boolean {
    return this.#ordinal === ordinal && continuesMessage(this.#first, block);
  }

  open(block: Block): string {
    this.#sentText = "";
    if (block.kind !== "text") return "";
    this.#isRefusal = block.refusal === true;
    return this.#emit("response.content_part.added", {
      ...this.#part(),
      part: encodeOutputPart({ ...block, text: "" }),
    });
  }

  /** Reasoning has no part of its own before its first text: the part is announced with it. */
  delta(piece: string): string {
    const text = this.#input?.push(piece) ?? piece;
    return text === "" ? "" : this.#encodeDelta(text);
  }

  #encodeDelta(text: string): string {
    const isFirst = this.#sentText === "";
    this.#sentText += text;
    switch (this.#first.kind) {
      case "text":
        return this.#isRefusal
          ? this.#emit("response.refusal.delta", { ...this.#part(), delta: text })
          : this.#emit("response.output_text.delta", { ...this.#part(), delta: text, logprobs: [] });
      case "thinking": {
        const part = { type: "summary_text", text: "" };
        const added = isFirst ? this.#emit("response.reasoning_summary_part.added", { ...this.#summary(), part }) : "";
        return added + this.#emit("response.reasoning_summary_text.delta", { ...this.#summary(), delta: text });
      }
      case "tool_call":
        return this.#emit(
          this.#input === undefined
            ? "response.function_call_arguments.delta"
            : "response.custom_tool_call_input.delta",
          { ...this.#position(), delta: text },
        );
      case "media":
      case "opaque":
      case "tool_result":
        return "";
    }
  }

  /** Emits the whole text if no delta had any of it, then the events that complete the part. */
  close(block: Block): string {
    const fullText = this.#fullTextOf(block);
    const rest = this.#sentText === "" && fullText !== "" ? this.#encodeDelta(fullText) : "";
    const done = this.#finish(block, fullText);
    this.#blocks.push(block);
    return rest + done;
  }

  #fullTextOf(block: Block): string {
    if (block.kind !== "tool_call") return deltaTextOf(block);
    return this.#input === undefined ? block.arguments || "{}" : readCustomInput(block.arguments);
  }

  end(): string {
    return this.#emit("response.output_item.done", { output_index: this.#index, item: this.item });
  }

  #finish(block: Block, fullText: string): string {
    switch (block.kind) {
      case "text": {
        const annotations = encodeAnnotations(block).map((annotation, annotation_index) =>
          this.#emit("response.output_text.annotation.added", { ...this.#part(), annotation_index, annotation }),
        );
        const textDone = block.refusal
          ? this.#emit("response.refusal.done", { ...this.#part(), refusal: fullText })
          : this.#emit("response.output_text.done", { ...this.#part(), text: fullText, logprobs: [] });
        const part = encodeOutputPart(block);
        return annotations.join("") + textDone + this.#emit("response.content_part.done", { ...this.#part(), part });
      }
      case "thinking": {
        if (fullText === "") return "";
        const part = { type: "summary_text", text: fullText };
        const textDone = this.#emit("response.reasoning_summary_text.done", { ...this.#summary(), text: fullText });
        return textDone + this.#emit("response.reasoning_summary_part.done", { ...this.#summary(), part });
      }
      case "tool_call": {
        if (this.#input !== undefined)
          return this.#emit("response.custom_tool_call_input.done", { ...this.#position(), input: fullText });
        const { name } = block;
        return this.#emit("response.function_call_arguments.done", { ...this.#position(), name, arguments: fullText });
      }
      case "opaque":
        return listServerEvents(block)
          .map(([type, members]) => this.#emit(type, { ...this.#position(), ...members }))
          .join("");
      case "media":
      case "tool_result":
        return "";
    }
  }

  readonly #position = (): JsonObject => ({ item_id: this.#id, output_index: this.#index });
  readonly #part = (): JsonObject => ({ ...this.#position(), content_index: this.#blocks.length });
  readonly #summary = (): JsonObject => ({ ...this.#position(), summary_index: 0 });
}
