import { isObject } from "../wire/json.ts";
import { GatewayError } from "./error.ts";
import type { Block, Message, ModelResponse, StreamEvent } from "./types.ts";

/** A stream → the whole answer it stands for; what was received so far, when it broke off. Inverse of `unfold`. */
export class StreamAccumulator {
  #id = "";
  #model = "";
  readonly #blocks: { item: number; id: string | undefined; block: Block; isOpen: boolean }[] = [];
  #end: Extract<StreamEvent, { type: "end" }> | undefined;
  #error: GatewayError | undefined;

  push(event: StreamEvent): void {
    switch (event.type) {
      case "start":
        this.#id = event.id;
        this.#model = event.model;
        return;
      case "open":
        this.#blocks[event.index] = { item: event.item ?? 0, id: event.id, block: event.block, isOpen: true };
        return;
      case "delta": {
        const slot = this.#blocks[event.index];
        if (slot !== undefined) slot.block = append(slot.block, event.text);
        return;
      }
      case "close": {
        const slot = this.#blocks[event.index];
        if (slot !== undefined) Object.assign(slot, { block: event.block, isOpen: false });
        return;
      }
      case "end":
        this.#end = event;
        return;
      case "error":
        this.#error = event.error;
    }
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  get error(): GatewayError | undefined {
    return this.#error;
  }

  /** Absent until the stream has ended well. */
  get response(): ModelResponse | undefined {
    if (this.#end === undefined || this.#error !== undefined) return undefined;
    const { finish, usage, alternatives, rest } = this.#end;
    const said = { id: this.#id, model: this.#model, messages: this.messages, finish, usage };
    return { ...said, ...(alternatives && { alternatives }), ...(rest && { rest }) };
  }

  /** What was said, finished or not. */
  get messages(): Message[] {
    const natives = this.#end?.items ?? [];
    const messages: Message[] = [];
    for (const { item, block } of this.#blocks.filter(Boolean)) {
      (messages[item] ??= { role: "assistant", blocks: [] }).blocks.push(block);
    }
    natives.forEach((native, item) => {
      if (native === undefined) return;
      messages[item] = { ...(messages[item] ?? { role: "assistant", blocks: [] }), native };
    });
    return messages.filter(Boolean);
  }

  /** The events that come to what was said so far, one delta a block; of a block that is still growing no end. */
  get events(): StreamEvent[] {
    const start: StreamEvent = { type: "start", id: this.#id, model: this.#model };
    const blocks = this.#blocks.flatMap(({ item, id, block, isOpen }, index): StreamEvent[] => {
      const text = deltaText(block);
      return [
        { type: "open", index, ...(item > 0 && { item }), ...(id !== undefined && { id }), block: openBlock(block) },
        ...(text === "" ? [] : [{ type: "delta" as const, index, text }]),
        ...(isOpen ? [] : [{ type: "close" as const, index, block }]),
      ];
    });
    return [start, ...blocks];
  }

  /** The last block is still growing. */
  get isOpen(): boolean {
    return this.#blocks.findLast(Boolean)?.isOpen === true;
  }

  /** The answer's id as the provider says it; empty before the first event. */
  get id(): string {
    return this.#id;
  }

  /** The model as the provider names it; empty before the first event. */
  get model(): string {
    return this.#model;
  }
}

export function fold(events: Iterable<StreamEvent>): ModelResponse {
  const folded = new StreamAccumulator();
  for (const event of events) folded.push(event);
  if (folded.error !== undefined) throw folded.error;
  if (folded.response === undefined) throw new GatewayError("stream.interrupted", "the stream ended without an end");
  return folded.response;
}

/** A whole answer → the stream that says it, one delta a block. */
export function unfold(response: ModelResponse): StreamEvent[] {
  const events: StreamEvent[] = [{ type: "start", id: response.id, model: response.model }];
  let index = 0;
  response.messages.forEach((message, item) => {
    const native = message.native?.item;
    const id = isObject(native) && typeof native.id === "string" ? { id: native.id } : {};
    for (const block of message.blocks) {
      events.push({ type: "open", index, ...(item > 0 && { item }), ...id, block: openBlock(block) });
      const text = deltaText(block);
      if (text !== "") events.push({ type: "delta", index, text });
      events.push({ type: "close", index, block });
      index++;
    }
  });
  const { finish, usage, alternatives, rest } = response;
  const items = response.messages.map((message) => message.native);
  const hasItems = items.some((native) => native !== undefined);
  const beside = { ...(hasItems && { items }), ...(alternatives && { alternatives }), ...(rest && { rest }) };
  events.push({ type: "end", finish, usage, ...beside });
  return events;
}

/** The part of a block that comes in pieces; "" for those that come whole. */
export function deltaText(block: Block): string {
  if (block.kind === "text" || block.kind === "thinking") return block.text;
  return block.kind === "tool_call" ? block.arguments : "";
}

function append(block: Block, more: string): Block {
  if (block.kind === "text" || block.kind === "thinking") return { ...block, text: block.text + more };
  return block.kind === "tool_call" ? { ...block, arguments: block.arguments + more } : block;
}

/** As a block opens: nothing said yet, and no native, which would already tell the end. */
export function openBlock(block: Block): Block {
  if (block.kind === "text") return { kind: "text", text: "", ...(block.refusal && { refusal: true as const }) };
  if (block.kind === "thinking") return { kind: "thinking", text: "" };
  if (block.kind === "tool_call") return { kind: "tool_call", id: block.id, name: block.name, arguments: "" };
  return block;
}
