import { openBlock, deltaText } from "../../canonical/accumulator.ts";
import type { Block, StreamEvent } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringOf, stringifyMember } from "../../wire/json.ts";
import { decodePart, encodeAnnotations } from "./blocks.ts";
import { itemId, continuesMessage, ownId, openItem, outputItem, outputPart } from "./items.ts";
import { customArguments, decodeMessage, PARAGRAPH } from "./messages.ts";

/**
 * One output item as it grows: the wire's events → blocks. A block is closed when the next begins or its item is done,
 * which brings it whole: what no delta said is said then, so nothing vanishes where a host sends few events.
 */
export class ItemReader {
  #item: JsonObject;
  #open: { index: number; at: number; block: Block; said: string; section?: string } | undefined;
  /** Places in the item whose blocks were said. */
  readonly #saidAt = new Set<number>();
  /** The `content_index` of each part: Bedrock counts the reasoning before the message as its first part. */
  readonly #parts: Json[] = [];

  readonly #ordinal: number;
  readonly #nextIndex: () => number;
  readonly #seal: string | undefined;

  constructor(item: Json | undefined, place: { ordinal: number; nextIndex: () => number }, seal: string | undefined) {
    this.#item = isObject(item) ? item : { type: "message" };
    this.#ordinal = place.ordinal;
    this.#nextIndex = place.nextIndex;
    this.#seal = seal;
  }

  get item(): JsonObject {
    return this.#item;
  }

  /** Reasoning and calls begin with their item, texts with their part. */
  start(): StreamEvent[] {
    const { type } = this.#item;
    if (type !== "reasoning" && type !== "function_call" && type !== "custom_tool_call") return [];
    const [block] = decodeMessage(this.#item).blocks;
    return block === undefined ? [] : this.#start(0, openBlock(block));
  }

  push(event: JsonObject): StreamEvent[] {
    const delta = stringifyMember(event.delta);
    const at = this.#placeOf(event.content_index ?? 0);
    switch (event.type) {
      case "response.content_part.added": {
        const part = decodePart(event.part ?? null);
        return this.#item.type === "message" && part.kind === "text" ? this.#text(at, part.refusal) : [];
      }
      case "response.output_text.delta":
        return [...this.#text(at), ...this.#grow(delta)];
      case "response.output_text.done":
        return [...this.#text(at), ...this.#complete(stringifyMember(event.text))];
      case "response.refusal.delta":
        return [...this.#text(at, true), ...this.#grow(delta)];
      case "response.refusal.done":
        return [...this.#text(at, true), ...this.#complete(stringifyMember(event.refusal))];
      case "response.content_part.done":
        if (this.#item.type === "message" && this.#open?.at === at) this.#open.block = decodePart(event.part ?? null);
        return [];
      case "response.reasoning_summary_text.delta":
        return this.#reason(`summary ${stringifyMember(event.summary_index)}`, delta);
      case "response.reasoning_text.delta":
      case "response.reasoning.delta":
        return this.#reason(`content ${at}`, delta);
      case "response.function_call_arguments.delta":
        return this.#grow(delta);
      case "response.function_call_arguments.done":
        return this.#complete(stringifyMember(event.arguments));
      case "response.custom_tool_call_input.delta":
        return this.#grow(`${this.#open?.said === "" ? CUSTOM_START : ""}${JSON.stringify(delta).slice(1, -1)}`);
      case "response.custom_tool_call_input.done":
        return this.#complete(customArguments(event.input));
      default:
        return [];
    }
  }

  /** The whole item: the open block's rest, and every block that was not said. */
  done(item: JsonObject): StreamEvent[] {
    this.#item = item;
    const { blocks } = decodeMessage(item, this.#seal);
    const events = this.#close(this.#open === undefined ? undefined : blocks[this.#open.at]);
    blocks.forEach((block, at) => {
      if (this.#saidAt.has(at)) return;
      events.push(...this.#start(at, openBlock(block)), ...this.#close(block));
    });
    return events;
  }

  /** As far as it has come. */
  leave(): StreamEvent[] {
    return this.#close(undefined);
  }

  #placeOf(contentIndex: Json): number {
    const known = this.#parts.indexOf(contentIndex);
    return known < 0 ? this.#parts.push(contentIndex) - 1 : known;
  }

  #text(at: number, refusal?: true): StreamEvent[] {
    if (this.#open?.at === at) return [];
    return [...this.#close(undefined), ...this.#start(at, { kind: "text", text: "", ...(refusal && { refusal }) })];
  }

  #reason(section: string, delta: string): StreamEvent[] {
    const open = this.#open;
    if (open === undefined) return [];
    const isNext = open.said !== "" && open.section !== section;
    open.section = section;
    return this.#grow(isNext ? `${PARAGRAPH}${delta}` : delta);
  }

  #start(at: number, block: Block): StreamEvent[] {
    const index = this.#nextIndex();
    this.#saidAt.add(at);
    this.#open = { index, at, block, said: "" };
    const id = stringOf(this.#item.id);
    return [
      {
        type: "open",
        index,
        ...(this.#ordinal > 0 && { item: this.#ordinal }),
        ...(id !== undefined && { id }),
        block,
      },
    ];
  }

  #grow(text: string): StreamEvent[] {
    const open = this.#open;
    if (open === undefined || text === "") return [];
    open.said += text;
    return [{ type: "delta", index: open.index, text }];
  }

  #complete(whole: string): StreamEvent[] {
    const said = this.#open?.said ?? "";
    return whole.startsWith(said) ? this.#grow(whole.slice(said.length)) : [];
  }

  #close(finished: Block | undefined): StreamEvent[] {
    const open = this.#open;
    if (open === undefined) return [];
    const block = finished ?? withText(open.block, open.said);
    const rest = this.#complete(deltaText(block));
    this.#open = undefined;
    return [...rest, { type: "close", index: open.index, block }];
  }
}

/** How custom arguments begin as JSON: the deltas are the text inside. */
const CUSTOM_START = '{"input":"';

function withText(block: Block, text: string): Block {
  if (deltaText(block) !== "") return block;
  if (block.kind === "text" || block.kind === "thinking") return { ...block, text };
  return block.kind === "tool_call" ? { ...block, arguments: text } : block;
}

/** Says one event with its number. */
export type EmitEvent = (type: string, members: JsonObject) => string;

type Place = { responseId: string; index: number; id: string | undefined; ordinal: number | undefined };

/** One output item as it grows: blocks → the wire's events. The inverse of `ItemReader`. */
export class ItemWriter {
  readonly #id: string;
  readonly #blocks: Block[] = [];
  #said = "";
  #refuses = false;

  readonly #first: Block;
  readonly #index: number;
  readonly #ordinal: number | undefined;
  readonly #say: EmitEvent;

  /** `id`: the item's own, if it comes from this wire. `ordinal`: which of the answer's items it is there. */
  constructor(first: Block, place: Place, say: EmitEvent) {
    const { id, responseId, index, ordinal } = place;
    this.#first = first;
    this.#index = index;
    this.#ordinal = ordinal;
    this.#say = say;
    this.#id = id ?? ownId(first) ?? itemId(first, responseId, index);
  }

  get item(): JsonObject {
    return outputItem(this.#id, this.#blocks);
  }

  start(): string {
    return this.#say("response.output_item.added", {
      output_index: this.#index,
      item: openItem(this.#id, this.#first),
    });
  }

  /** Whether a block is the next part of this item. */
  takes(block: Block, ordinal: number | undefined): boolean {
    return this.#ordinal === ordinal && continuesMessage(this.#first, block);
  }

  open(block: Block): string {
    this.#said = "";
    if (block.kind !== "text") return "";
    this.#refuses = block.refusal === true;
    return this.#say("response.content_part.added", { ...this.#part(), part: outputPart({ ...block, text: "" }) });
  }

  delta(text: string): string {
    const isFirst = this.#said === "";
    this.#said += text;
    switch (this.#first.kind) {
      case "text":
        return this.#refuses
          ? this.#say("response.refusal.delta", { ...this.#part(), delta: text })
          : this.#say("response.output_text.delta", { ...this.#part(), delta: text, logprobs: [] });
      case "thinking": {
        const part = { type: "summary_text", text: "" };
        const added = isFirst ? this.#say("response.reasoning_summary_part.added", { ...this.#summary(), part }) : "";
        return added + this.#say("response.reasoning_summary_text.delta", { ...this.#summary(), delta: text });
      }
      case "tool_call":
        return this.#say("response.function_call_arguments.delta", { ...this.#place(), delta: text });
      case "media":
      case "opaque":
      case "tool_result":
        return "";
    }
  }

  close(block: Block): string {
    const whole = block.kind === "tool_call" ? block.arguments || "{}" : deltaText(block);
    const rest = this.#said === "" && whole !== "" ? this.delta(whole) : "";
    const done = this.#finish(block, whole);
    this.#blocks.push(block);
    return rest + done;
  }

  end(): string {
    return this.#say("response.output_item.done", { output_index: this.#index, item: this.item });
  }

  #finish(block: Block, whole: string): string {
    switch (block.kind) {
      case "text": {
        const annotations = encodeAnnotations(block).map((annotation, annotation_index) =>
          this.#say("response.output_text.annotation.added", { ...this.#part(), annotation_index, annotation }),
        );
        const said = block.refusal
          ? this.#say("response.refusal.done", { ...this.#part(), refusal: whole })
          : this.#say("response.output_text.done", { ...this.#part(), text: whole, logprobs: [] });
        const part = outputPart(block);
        return annotations.join("") + said + this.#say("response.content_part.done", { ...this.#part(), part });
      }
      case "thinking": {
        if (whole === "") return "";
        const part = { type: "summary_text", text: whole };
        const said = this.#say("response.reasoning_summary_text.done", { ...this.#summary(), text: whole });
        return said + this.#say("response.reasoning_summary_part.done", { ...this.#summary(), part });
      }
      case "tool_call": {
        const { name } = block;
        return this.#say("response.function_call_arguments.done", { ...this.#place(), name, arguments: whole });
      }
      case "media":
      case "opaque":
      case "tool_result":
        return "";
    }
  }

  readonly #place = (): JsonObject => ({ item_id: this.#id, output_index: this.#index });
  readonly #part = (): JsonObject => ({ ...this.#place(), content_index: this.#blocks.length });
  readonly #summary = (): JsonObject => ({ ...this.#place(), summary_index: 0 });
}
