import { isObject } from "../wire/json.ts";
import { addCitations } from "./citations.ts";
import { GatewayError } from "./error.ts";
import type { Block, Loss, Message, ModelResponse, StreamEvent } from "./types.ts";

/** Stream events → the answer, or the part received so far if the stream broke off. Inverse of `unfold`. */
export class StreamAccumulator {
  #id = "";
  #model = "";
  readonly #blocks: { item: number; id: string | undefined; block: Block; isOpen: boolean }[] = [];
  #end: Extract<StreamEvent, { type: "end" }> | undefined;
  #error: GatewayError | undefined;
  readonly #losses: Loss[] = [];

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
        if (slot !== undefined) slot.block = appendText(slot.block, event.text);
        return;
      }
      case "close": {
        const slot = this.#blocks[event.index];
        if (slot !== undefined) Object.assign(slot, { block: event.block, isOpen: false });
        return;
      }
      case "end":
        this.#end = event;
        for (const { index, citations } of event.late ?? []) {
          const slot = this.#blocks[index];
          if (slot?.block.kind === "text") slot.block = addCitations(slot.block, citations);
        }
        return;
      case "error":
        this.#error = event.error;
        return;
      case "loss":
        this.#addLoss(event.loss);
    }
  }

  /** Whether the `end` event was received. */
  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Whether citations arrived after their text had closed. */
  get hasLateCitations(): boolean {
    return this.#end?.late !== undefined;
  }

  /** The error of an `error` event. */
  get error(): GatewayError | undefined {
    return this.#error;
  }

  /** Events of the provider that were left out, each kind once. */
  get losses(): readonly Loss[] {
    return this.#losses;
  }

  /** The whole answer; undefined until the stream has ended without an error. */
  get response(): ModelResponse | undefined {
    if (this.#end === undefined || this.#error !== undefined) return undefined;
    const { finish, usage, alternatives, rest } = this.#end;
    const losses = [...this.#losses, ...(this.#end.losses ?? [])];
    const answer = { id: this.#id, model: this.#model, messages: this.messages, finish, usage };
    return {
      ...answer,
      ...(alternatives && { alternatives }),
      ...(losses.length > 0 && { losses }),
      ...(rest && { rest }),
    };
  }

  #addLoss(loss: Loss): void {
    if (!this.#losses.some(({ at, why }) => at === loss.at && why === loss.why)) this.#losses.push(loss);
  }

  /** The messages so far, including an unfinished block. */
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

  /** A shortest stream with the content so far: one delta per block, and no `close` for an unfinished block. */
  get events(): StreamEvent[] {
    const start: StreamEvent = { type: "start", id: this.#id, model: this.#model };
    const blocks = this.#blocks.flatMap(({ item, id, block, isOpen }, index): StreamEvent[] => {
      const text = deltaTextOf(block);
      return [
        { type: "open", index, ...(item > 0 && { item }), ...(id !== undefined && { id }), block: toOpenBlock(block) },
        ...(text === "" ? [] : [{ type: "delta" as const, index, text }]),
        ...(isOpen ? [] : [{ type: "close" as const, index, block }]),
      ];
    });
    return [start, ...blocks];
  }

  /** Whether the last block is unfinished. */
  get isOpen(): boolean {
    return this.#blocks.findLast(Boolean)?.isOpen === true;
  }

  /** The provider's id of the answer; empty before the first event. */
  get id(): string {
    return this.#id;
  }

  /** The provider's name of the model; empty before the first event. */
  get model(): string {
    return this.#model;
  }
}

/** Events of a complete stream → the answer. Throws the stream's error, or `stream.interrupted` if it has no end. */
export function fold(events: Iterable<StreamEvent>): ModelResponse {
  const accumulator = new StreamAccumulator();
  for (const event of events) accumulator.push(event);
  if (accumulator.error !== undefined) throw accumulator.error;
  if (accumulator.response === undefined)
    throw new GatewayError("stream.interrupted", "the stream ended without a terminal event");
  return accumulator.response;
}

/** An answer → the events of a stream with the same content, one delta per block. */
export function unfold(response: ModelResponse): StreamEvent[] {
  const events: StreamEvent[] = [{ type: "start", id: response.id, model: response.model }];
  let index = 0;
  response.messages.forEach((message, item) => {
    const native = message.native?.item;
    const id = isObject(native) && typeof native.id === "string" ? { id: native.id } : {};
    for (const block of message.blocks) {
      events.push({ type: "open", index, ...(item > 0 && { item }), ...id, block: toOpenBlock(block) });
      const text = deltaTextOf(block);
      if (text !== "") events.push({ type: "delta", index, text });
      events.push({ type: "close", index, block });
      index++;
    }
  });
  const { finish, usage, alternatives, losses, rest } = response;
  const items = response.messages.map((message) => message.native);
  const hasItems = items.some((native) => native !== undefined);
  const optional = { ...(hasItems && { items }), ...(alternatives && { alternatives }), ...(losses && { losses }) };
  events.push({ type: "end", finish, usage, ...optional, ...(rest && { rest }) });
  return events;
}

/** The part of a block that is streamed as deltas; "" for kinds that are sent whole. */
export function deltaTextOf(block: Block): string {
  if (block.kind === "text" || block.kind === "thinking") return block.text;
  return block.kind === "tool_call" ? block.arguments : "";
}

/** The block with more of the part that is streamed as deltas; unchanged for kinds that are sent whole. */
export function appendText(block: Block, text: string): Block {
  if (block.kind === "text" || block.kind === "thinking") return { ...block, text: block.text + text };
  return block.kind === "tool_call" ? { ...block, arguments: block.arguments + text } : block;
}

/** The block as an `open` event holds it: without text, and without `native`, which holds the whole content. */
export function toOpenBlock(block: Block): Block {
  if (block.kind === "text") return { kind: "text", text: "", ...(block.refusal && { refusal: true as const }) };
  if (block.kind === "thinking") return { kind: "thinking", text: "" };
  if (block.kind === "tool_call") {
    const { id, name, namespace, custom } = block;
    return {
      kind: "tool_call",
      id,
      name,
      arguments: "",
      ...(namespace !== undefined && { namespace }),
      ...(custom && { custom }),
    };
  }
  return block;
}
