import { GatewayError } from "../../canonical/error.ts";
import { openBlock, deltaText } from "../../canonical/accumulator.ts";
import type { Block, StreamEvent, Usage } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, numberOf, stringifyMember, tryParseJson } from "../../wire/json.ts";
import { encodeSse, type SseEvent } from "../../wire/sse.ts";
import type { ReplyContext, StreamDecoder, StreamEncoder } from "../dialect.ts";
import { decodeBlock } from "./blocks.ts";
import { errorMembers, errorOf } from "./errors.ts";
import { decodeFinish, decodeOutput, decodeUsage, encodeCall, encodeOutput, encodeUsage } from "./response.ts";

const dialect = "native";

export const decodeStream = (_seal?: string): StreamDecoder => new CallDecoder();
export const encodeStream = (reply: ReplyContext): StreamEncoder => new CallEncoder(reply);

/**
 * Events → events. Deltas tell what grows, by the index of its block in the output; `call.completed` has the whole
 * output again, and with it the blocks that came whole.
 */
class CallDecoder implements StreamDecoder {
  #open: { index: number; block: Block } | undefined;
  readonly #seen = new Set<number>();
  #isOver = false;
  #usage: Json | undefined;
  #isFinished = false;

  get isAnswerComplete(): boolean {
    return this.#isFinished;
  }

  get usage(): Usage {
    return decodeUsage(this.#usage);
  }

  push({ data, event }: SseEvent): StreamEvent[] {
    if (data === undefined || this.#isOver) return [];
    const said = tryParseJson(data);
    if (!isObject(said))
      return this.#fail(new GatewayError("provider.execution_failed", "the provider sent an event that is not JSON"));
    this.#usage = said.usage ?? this.#usage;
    switch (said.type ?? event) {
      case "call.started": {
        const call = isObject(said.call) ? said.call : {};
        return [{ type: "start", id: stringifyMember(call.id), model: stringifyMember(call.model) }];
      }
      case "response.delta":
        return this.#grow(said, { kind: "text", text: "", ...(said.refusal === true && { refusal: true }) }, said.text);
      case "thinking.delta":
        return this.#grow(said, { kind: "thinking", text: "" }, said.text);
      case "tool_call.started":
      case "tool_call.delta": {
        const call = {
          kind: "tool_call",
          id: stringifyMember(said.id),
          name: stringifyMember(said.name),
          arguments: "",
        } as const;
        return this.#grow(said, call, said.arguments);
      }
      case "tool_call.done":
        return this.#done(said);
      case "call.completed":
        return this.#end(said);
      case "call.failed":
        return this.#fail(errorOf(undefined, said));
      default:
        return [];
    }
  }

  end(): StreamEvent[] {
    if (this.#isOver) return [];
    const why = "the provider's stream ended before the answer was finished";
    return this.#fail(new GatewayError("stream.interrupted", why));
  }

  #grow({ index }: JsonObject, begun: Block, more: Json | undefined): StreamEvent[] {
    const at = numberOf(index) ?? this.#open?.index ?? 0;
    // A block that is closed says no more.
    if (at !== this.#open?.index && this.#seen.has(at)) return [];
    const events = at === this.#open?.index ? [] : [...this.#close(), ...this.#begin(at, begun)];
    const text = stringifyMember(more);
    const open = this.#open;
    if (open === undefined || text === "") return events;
    if (open.block.kind === "tool_call") open.block = { ...open.block, arguments: open.block.arguments + text };
    else if (open.block.kind === "text" || open.block.kind === "thinking")
      open.block = { ...open.block, text: open.block.text + text };
    return [...events, { type: "delta", index: at, text }];
  }

  #done({ index, block }: JsonObject): StreamEvent[] {
    const isIt = this.#open !== undefined && this.#open.index === index && isObject(block);
    return isIt ? this.#close(decodeBlock(block)) : [];
  }

  #begin(index: number, block: Block): StreamEvent[] {
    this.#open = { index, block };
    this.#seen.add(index);
    return [{ type: "open", index, ...(index > 0 && { item: index }), block }];
  }

  /** `whole`: as the stream itself tells it in the end. */
  #close(whole?: Block): StreamEvent[] {
    const open = this.#open;
    if (open === undefined) return [];
    this.#open = undefined;
    return [{ type: "close", index: open.index, block: whole ?? open.block }];
  }

  #end(said: JsonObject): StreamEvent[] {
    const output = Array.isArray(said.output) ? said.output : [];
    const messages = decodeOutput(output);
    const last = this.#open === undefined ? undefined : messages[this.#open.index]?.blocks[0];
    const events = this.#close(last?.kind === this.#open?.block.kind ? last : undefined);
    messages.forEach(({ blocks: [block] }, index) => {
      if (this.#seen.has(index) || block === undefined) return;
      events.push(...this.#begin(index, openBlock(block)));
      const text = deltaText(block);
      if (text !== "") events.push({ type: "delta", index, text });
      events.push(...this.#close(block));
    });
    this.#isOver = true;
    this.#isFinished = true;
    const { type: _, event_id: __, output: ___, ...envelope } = said;
    const finish = decodeFinish(isObject(said.call) ? said.call : {}, messages);
    const items = messages.map(({ native }) => native);
    return [
      ...events,
      {
        type: "end",
        finish,
        usage: decodeUsage(said.usage),
        ...(items.length > 0 && { items }),
        rest: { dialect, item: envelope },
      },
    ];
  }

  #fail(error: GatewayError): StreamEvent[] {
    this.#isOver = true;
    return [...this.#close(), { type: "error", error }];
  }
}

/** Every event has the next whole number as its `event_id`, which is the event's id on the stream as well. */
class CallEncoder implements StreamEncoder {
  #events = 0;
  #id = "";
  #model = "";
  #said = "";
  #block: Block | undefined;
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
        return this.#say("call.started", { call: this.#call("running") });
      case "open":
        this.#said = "";
        this.#block = event.block;
        if (event.block.kind !== "tool_call") return "";
        return this.#say("tool_call.started", { index: event.index, id: event.block.id, name: event.block.name });
      case "delta":
        this.#said += event.text;
        return this.#grow(event.index, event.text);
      case "close": {
        const { index, block } = event;
        const unsaid = this.#said === "" ? deltaText(block) : "";
        const grown = unsaid === "" ? "" : this.#grow(index, unsaid);
        this.#output[index] = block;
        if (block.kind !== "tool_call") return grown;
        return grown + this.#say("tool_call.done", { index, block: encodeOutput(block) });
      }
      case "end": {
        const { finish, usage } = event;
        const id = this.#id;
        const call = encodeCall({ id, model: this.#model, status: "completed", finish }, this.#reply);
        const output = this.#output.filter(Boolean).map(encodeOutput);
        return this.#say("call.completed", { call, output, usage: encodeUsage(usage) });
      }
      case "error": {
        const call = this.#call("failed");
        return this.#say("call.failed", { call, error: errorMembers(event.error, stringifyMember(call.id)) });
      }
    }
  }

  resumeAfter({ data }: SseEvent): void {
    const last = tryParseJson(data ?? "");
    this.#events = Math.max(this.#events, (isObject(last) && numberOf(last.event_id)) || 0);
  }

  #call(status: "running" | "failed"): JsonObject {
    return encodeCall({ id: this.#id, model: this.#model, status }, this.#reply);
  }

  #grow(index: number, text: string): string {
    const block = this.#block;
    if (block?.kind === "tool_call") return this.#say("tool_call.delta", { index, arguments: text });
    if (block?.kind === "thinking") return this.#say("thinking.delta", { index, text });
    if (block?.kind !== "text") return "";
    return this.#say("response.delta", { index, text, ...(block.refusal && { refusal: true }) });
  }

  #say(type: string, members: JsonObject): string {
    const id = ++this.#events;
    return encodeSse({ event: type, id: String(id), data: JSON.stringify({ type, event_id: id, ...members }) });
  }
}
