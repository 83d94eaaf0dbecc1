import { deltaTextOf, toOpenBlock } from "../../canonical/accumulator.ts";
import { addCitations, cutCitations, findNew, type LateCitations, spreadCitations } from "../../canonical/citations.ts";
import type { Block, Citation, Logprob, StreamEvent, Text, Thinking } from "../../canonical/types.ts";
import { type JsonObject, stringifyMember } from "../../wire/json.ts";
import type { AnswerCalls } from "../answer-calls.ts";
import { decodeToolCall } from "./blocks.ts";
import { decodeAnnotations } from "./citations.ts";
import { decodeFunctionCall } from "./messages.ts";
import {
  appendCallDelta,
  argumentsOf,
  ensureCalls,
  findCall,
  identifyCall,
  isCompleteObject,
  nameOf,
} from "./tool-calls.ts";

const dialect = "openai-chat";

/** `member`: the member in which the host sends its reasoning. */
type TextPiece = { text: Text | Thinking; member?: string; logprobs?: Logprob[] };
/** A block that arrives whole. */
type WholePiece = { whole: Block };
/** A call that has not been opened yet, by its position in `tool_calls`. */
type CallPiece = { call: number };
type Piece = TextPiece | WholePiece | CallPiece;

/** `call`: position in `tool_calls`. */
type OpenBlock = { index: number; block: Block; call?: number; member?: string; logprobs?: Logprob[] };

/**
 * The blocks of a streamed message, one open at a time. What arrives while a call is incomplete waits until its
 * arguments are a whole JSON object, so a call is one block however its pieces are mixed with others. A call opens
 * when it has its name and its id, because the events that follow have neither.
 */
export class BlockReader {
  #open: OpenBlock | undefined;
  #nextIndex = 0;
  #waiting: Piece[] = [];
  /** The texts of the content that have closed. Annotations count in all of them together. */
  readonly #texts: { index: number; text: Text; emitted: readonly Citation[] }[] = [];
  /** The open block is the last one. */
  #isEnding = false;
  /** Positions in `tool_calls` of the calls that were opened. */
  readonly #opened = new Set<number>();

  readonly #message: JsonObject;

  /** `message`: the message that grows with the deltas; the calls are read from it. */
  constructor(message: JsonObject) {
    this.#message = message;
  }

  /** `member`: the member of the message in which the host sends its reasoning. */
  addText(text: Text | Thinking, member?: string): StreamEvent[] {
    return this.#add({ text, ...(member !== undefined && { member }) });
  }

  addWhole(whole: Block): StreamEvent[] {
    return this.#add({ whole });
  }

  /** Adds log probabilities to the last text. */
  addLogprobs(logprobs: readonly Logprob[]): void {
    const last = this.#waiting.at(-1);
    const text = last === undefined ? this.#open : "text" in last ? last : undefined;
    if (text !== undefined && ("block" in text ? text.block : text.text).kind === "text")
      (text.logprobs ??= []).push(...logprobs);
  }

  /** A delta of a call that is closed has nothing that could follow its arguments. */
  addCall(delta: JsonObject): StreamEvent[] {
    const at = findCall(this.#message, delta);
    const isOpen = at >= 0 && this.#open?.call === at;
    if (this.#opened.has(at) && !isOpen) return [];
    const call = appendCallDelta(this.#message, delta, at);
    if (isOpen) {
      const events = this.#append(argumentsOf(delta));
      return this.#waiting.length === 0 ? events : [...events, ...this.#drain()];
    }
    return at < 0 ? this.#add({ call }) : this.#drain();
  }

  /** Closes the open block with the item that a response without streaming has for it. */
  close(): StreamEvent[] {
    const open = this.#open;
    if (open === undefined) return [];
    const item = open.call === undefined ? nativeTextOf(open) : ensureCalls(this.#message)[open.call];
    const rest = open.call === undefined || item === undefined ? [] : this.#appendRest(decodeToolCall(item));
    const { block, index, logprobs } = open;
    const whole = block.kind === "text" ? this.#cite(index, { ...block, ...(logprobs && { logprobs }) }) : block;
    this.#open = undefined;
    return [
      ...rest,
      { type: "close", index, block: item === undefined ? whole : { ...whole, native: { dialect, item } } },
    ];
  }

  /**
   * The text with the annotations received so far that count in it. Only at the end the text is known that those without a
   * position belong to.
   */
  #cite(index: number, text: Text): Text {
    if (text.refusal) return text;
    const annotations = decodeAnnotations(this.#message.annotations);
    const texts = [...this.#texts.map((earlier) => earlier.text), text];
    const base = texts.reduce((sum, { text: { length } }) => sum + length, -text.text.length);
    const cited = this.#isEnding
      ? spreadCitations(texts, annotations).at(-1)!
      : addCitations(text, cutCitations(annotations, base, text.text));
    this.#texts.push({ index, text, emitted: cited.citations ?? [] });
    return cited;
  }

  /** After the end: the annotations that arrived when their text had closed. */
  listLate(): { late?: LateCitations } {
    const texts = this.#texts.map(({ text }) => text);
    const late = spreadCitations(texts, decodeAnnotations(this.#message.annotations))
      .map(({ citations = [] }, i) => ({
        index: this.#texts[i]!.index,
        citations: findNew(citations, this.#texts[i]!.emitted),
      }))
      .filter(({ citations }) => citations.length > 0);
    return late.length > 0 ? { late } : {};
  }

  /** Ends the answer: closes the open block, then emits what waits. `calls` gives ids to calls, or leaves them out. */
  finish(calls: AnswerCalls): StreamEvent[] {
    const waiting = this.#waiting;
    this.#isEnding = waiting.length === 0;
    const events = this.close();
    this.#waiting = [];
    for (const piece of waiting) {
      if ("call" in piece) {
        const identified = identifyCall(this.#call(piece), calls);
        if (identified === undefined) continue;
        Object.assign(this.#call(piece), identified);
      }
      events.push(...this.#emit(piece));
    }
    this.#isEnding = true;
    events.push(...this.close());
    for (const block of decodeFunctionCall(this.#message.function_call))
      events.push(...this.#start(toOpenBlock(block), {}), ...this.#append(deltaTextOf(block)), ...this.close());
    return events;
  }

  #call = ({ call }: CallPiece): JsonObject => ensureCalls(this.#message)[call]!;

  /** Whether the open block is a call with incomplete arguments. */
  get #isBusy(): boolean {
    const block = this.#open?.block;
    return block?.kind === "tool_call" && !isCompleteObject(block.arguments);
  }

  #add(piece: Piece): StreamEvent[] {
    if (this.#waiting.length === 0 && !("call" in piece) && !this.#isBusy) return this.#emit(piece);
    this.#waiting.push(piece);
    return this.#drain();
  }

  /**
   * Emits what no longer has to wait, in the order of arrival. Other pieces overtake a call that has no name or id
   * yet; another call does not, because the order of the calls is that of the message.
   */
  #drain(): StreamEvent[] {
    const events: StreamEvent[] = [];
    while (this.#waiting.length > 0 && !this.#isBusy) {
      const firstCall = this.#waiting.find((piece) => "call" in piece);
      const next = this.#waiting.findIndex(
        (piece) => !("call" in piece) || (piece === firstCall && isIdentified(this.#call(piece))),
      );
      if (next < 0) break;
      events.push(...this.#emit(this.#waiting.splice(next, 1)[0]!));
    }
    return events;
  }

  #emit(piece: Piece): StreamEvent[] {
    if ("call" in piece) {
      const item = this.#call(piece);
      this.#opened.add(piece.call);
      return [
        ...this.close(),
        ...this.#start(toOpenBlock(decodeToolCall(item)), piece),
        ...this.#append(argumentsOf(item)),
      ];
    }
    if ("whole" in piece) {
      const events = this.close();
      const index = this.#nextIndex++;
      return [...events, { type: "open", index, block: piece.whole }, { type: "close", index, block: piece.whole }];
    }
    const { text, member, logprobs } = piece;
    const events = isSameText(this.#open?.block, text)
      ? []
      : [...this.close(), ...this.#start(toOpenBlock(text), { ...(member !== undefined && { member }) })];
    if (logprobs !== undefined) (this.#open!.logprobs ??= []).push(...logprobs);
    return [...events, ...this.#append(text.text)];
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

  /** Emits the arguments that no delta had: those of a custom call, whose text is complete only now. */
  #appendRest(whole: Block): StreamEvent[] {
    const block = this.#open?.block;
    if (block?.kind !== "tool_call" || whole.kind !== "tool_call") return [];
    return whole.arguments.startsWith(block.arguments)
      ? this.#append(whole.arguments.slice(block.arguments.length))
      : [];
  }
}

/** Whether a text continues the open block. */
const isSameText = (open: Block | undefined, text: Text | Thinking): boolean =>
  open?.kind === text.kind && (open.kind === "text" && open.refusal) === (text.kind === "text" && text.refusal);

/** Reasoning in a member of its own, as a message without streaming has it. */
const nativeTextOf = ({ member, block }: OpenBlock): JsonObject | undefined =>
  member !== undefined && block.kind === "thinking" ? { [member]: block.text } : undefined;

/** Whether the members of a call that an open block needs have arrived. */
const isIdentified = (call: JsonObject): boolean => nameOf(call) !== "" && stringifyMember(call.id) !== "";
