import type { StreamAccumulator } from "../../canonical/accumulator.ts";
import { addCitations, cutCitations, findNew, type LateCitations, shiftCitations } from "../../canonical/citations.ts";
import { GatewayError } from "../../canonical/error.ts";
import { textOfBlocks } from "../../canonical/text.ts";
import type { Block, Citation, Message, ModelResponse, StreamEvent, Text } from "../../canonical/types.ts";
import type { StartedStream, UpstreamAnswer } from "../upstream/first-content.ts";
import type { StreamReader } from "../upstream/stream-reader.ts";

/**
 * Sends the call to the remaining targets. `appended`: messages after the caller's own, from `buildContinuationPrompt`.
 * Throws if no target answers.
 */
export type Recover = (appended: readonly Message[]) => Promise<UpstreamAnswer>;

/** How the second answer relates to the first one: it repeated the text so far (`restart`) or continued it. */
type JoinKind = "restart" | "continuation";

/**
 * Returns the text to continue from after a stream broke. `undefined` if the client has already received part of a tool
 * call or a provider-specific block: another model cannot continue those. Reasoning is ignored, the new attempt
 * produces its own.
 */
export function recoverableText(accumulated: StreamAccumulator): string | undefined {
  const blocks = accumulated.messages.flatMap((message) => message.blocks);
  if (blocks.some(({ kind }) => kind !== "text" && kind !== "thinking")) return undefined;
  return textOfBlocks(blocks);
}

/** A user message, because several providers refuse a request that ends with an assistant message. */
const CONTINUE_PROMPT =
  "Your answer above was cut off by a broken connection. Continue it exactly where it stops, with the very next " +
  "characters. Do not repeat anything, do not comment on this, do not start over.";

/**
 * The messages after the caller's own that make another model continue the text. None if only whitespace was received,
 * as some providers refuse such a message: then the call is simply repeated.
 */
export const buildContinuationPrompt = (text: string): Message[] =>
  text.trim() === ""
    ? []
    : [
        { role: "assistant", blocks: [{ kind: "text", text }] },
        { role: "user", blocks: [{ kind: "text", text: CONTINUE_PROMPT }] },
      ];

/** The events that the client has received, for an encoder that continues the stream. */
export function buildSentEvents({ accumulated, isWithinBlock }: StreamReader): StreamEvent[] {
  const { events } = accumulated;
  // At the end of a stream the decoder closes an open block; the client has not received that event.
  return isWithinBlock && events.at(-1)?.type === "close" ? events.slice(0, -1) : events;
}

/** Messages without the providers' original items: a joined answer is no provider's item. */
const withoutNative = (messages: readonly Message[]): Message[] =>
  messages.map(({ role, blocks }) => ({ role, blocks: blocks.map(({ native: _, ...block }) => block as Block) }));

/**
 * Turns the events of a second answer into those that continue the first one's stream. If the second answer starts with
 * the first one's text, that part is removed (`restart`). Otherwise it is a continuation, and the part that repeats the
 * end of the first text is removed.
 *
 * Throws `stream.interrupted` if the second answer has a different start or is no text: joined, the two would be no
 * coherent answer.
 */
export class ContinuationJoiner {
  /** The first answer's text. */
  readonly #received: string;
  readonly #messages: Message[];
  /** Index of the block that the joined text is in. */
  readonly #index: number;
  /** The first answer's text in that block. */
  readonly #blockStart: Text;
  /** The texts that the client has whole, and where they start in the joined text. */
  readonly #closed: PlacedText[];
  /** Undefined until enough text was received to decide. */
  #kind: JoinKind | undefined;
  /** The second answer's text until then. */
  #pending = "";
  #appended = "";
  #isOpen = false;
  #isText = false;
  /** The texts of the second answer by index, and where they start in all of its text; `#length`: that of all. */
  readonly #texts = new Map<number, Omit<PlacedText, "index">>();
  #length = 0;
  /** The second answer's citations, counted in all of its text. */
  readonly #cited: Citation[] = [];
  #late: LateCitations = [];
  /** All citations, counted in the joined text. */
  #citations: Citation[] = [];

  /** The reader of the broken stream. */
  constructor({ accumulated, isWithinBlock }: StreamReader) {
    this.#received = recoverableText(accumulated) ?? "";
    this.#messages = withoutNative(accumulated.messages);
    const blocks = this.#messages.flatMap((message) => message.blocks);
    const last = blocks.at(-1);
    const continuesBlock = isWithinBlock && last?.kind === "text";
    this.#index = continuesBlock ? blocks.length - 1 : blocks.length;
    this.#blockStart = continuesBlock ? last : { kind: "text", text: "" };
    this.#isOpen = continuesBlock;
    this.#closed = placeTexts(blocks.slice(0, this.#index));
  }

  get kind(): JoinKind | undefined {
    return this.#kind;
  }

  /** Whether a text is cited that the client has whole. */
  get hasLateCitations(): boolean {
    return this.#late.length > 0;
  }

  /** Takes one event of the second answer and returns the events to send. */
  push(event: StreamEvent): StreamEvent[] {
    if (event.type === "open" && event.block.kind !== "text" && event.block.kind !== "thinking")
      throw joinError("another provider continued with a block that is not text");
    if (event.type === "open") {
      this.#isText = event.block.kind === "text";
      if (event.block.kind === "text") this.#texts.set(event.index, { base: this.#length, block: event.block });
    }
    if (event.type === "delta" && this.#isText) return this.#pushText(event.text);
    if (event.type === "close" && event.block.kind === "text") this.#cite(event.index, event.block);
    if (event.type === "end") return this.#end(event);
    return [];
  }

  #cite(index: number, text: Text): void {
    const base = this.#texts.get(index)?.base;
    if (base === undefined) return;
    this.#texts.set(index, { base, block: text });
    this.#cited.push(...shiftCitations(text, base));
  }

  #pushText(text: string): StreamEvent[] {
    this.#length += text.length;
    if (this.#kind !== undefined) return this.#emit(text);
    this.#pending += text;
    if (this.#received.startsWith(this.#pending) && this.#pending.length < this.#received.length) return [];
    return this.#classify(this.#pending.length >= Math.min(this.#received.length, MAX_OVERLAP));
  }

  /** Decides on the kind. `isEnough`: more text would not change the decision. */
  #classify(isEnough: boolean): StreamEvent[] {
    const [received, pending] = [this.#received, this.#pending];
    const same = commonPrefixLength(received, pending);
    if (same === received.length) return this.#start("restart", pending.slice(same));
    if (same >= MIN_RESTART) throw joinError("another provider restarted the answer with a different text");
    if (!isEnough) return [];
    return this.#start("continuation", pending.slice(overlapLength(received, pending)));
  }

  #start(kind: JoinKind, text: string): StreamEvent[] {
    this.#kind = kind;
    return this.#emit(text);
  }

  #emit(text: string): StreamEvent[] {
    if (text === "") return [];
    this.#appended += text;
    const delta: StreamEvent = { type: "delta", index: this.#index, text };
    if (this.#isOpen) return [delta];
    this.#isOpen = true;
    return [{ type: "open", index: this.#index, block: { kind: "text", text: "" } }, delta];
  }

  #end({ finish, usage, late = [] }: Extract<StreamEvent, { type: "end" }>): StreamEvent[] {
    const rest = this.#kind === undefined ? this.#classify(true) : [];
    for (const { index, citations } of late) {
      const text = this.#texts.get(index)?.block;
      if (text !== undefined) this.#cite(index, { ...text, citations });
    }
    const block = this.#placeCitations();
    const close: StreamEvent[] = this.#isOpen ? [{ type: "close", index: this.#index, block }] : [];
    return [...rest, ...close, { type: "end", finish, usage, ...(this.#late.length > 0 && { late: this.#late }) }];
  }

  /** Distributes the second answer's citations among the texts of the joined one. Returns the last of these. */
  #placeCitations(): Text {
    const text = this.#blockStart.text + this.#appended;
    const base = this.#received.length - this.#blockStart.text.length;
    const offset = this.#received.length + this.#appended.length - this.#length;
    const cited = this.#cited.map((one) => ({ ...one, start: one.start! + offset, end: one.end! + offset }));
    const newOf = (of: PlacedText): Citation[] =>
      findNew(cutCitations(cited, of.base, of.block.text), of.block.citations);
    this.#late = this.#closed
      .map((closed) => ({ index: closed.index, citations: newOf(closed) }))
      .filter(({ citations }) => citations.length > 0);
    const last = { ...this.#blockStart, text };
    const block = addCitations(last, newOf({ index: this.#index, base, block: last }));
    const sent = this.#closed.map((closed) => ({ ...closed, block: addCitations(closed.block, newOf(closed)) }));
    this.#citations = [...sent, { base, block }].flatMap((of) => shiftCitations(of.block, of.base));
    return block;
  }

  /**
   * The joined answer for the session: one text block after the first answer's reasoning, with the second one's model,
   * finish reason and usage, and the losses of both.
   */
  toResponse(
    { id, losses }: Pick<StreamAccumulator, "id" | "losses">,
    { model, finish, usage, losses: added = [] }: ModelResponse,
  ): ModelResponse {
    const block = addCitations({ kind: "text", text: this.#received + this.#appended }, this.#citations);
    const reasoning = this.#messages.flatMap(({ blocks }) => blocks.filter(({ kind }) => kind === "thinking"));
    const messages: Message[] = [{ role: "assistant", blocks: [...reasoning, block] }];
    return { id, model, messages, finish, usage, losses: [...losses, ...added] };
  }
}

/** `base`: where a text starts in all text of its answer. */
type PlacedText = { index: number; base: number; block: Text };

function placeTexts(blocks: readonly Block[]): PlacedText[] {
  let base = 0;
  return blocks.flatMap((block, index) => {
    if (block.kind !== "text") return [];
    base += block.text.length;
    return [{ index, base: base - block.text.length, block }];
  });
}

/** An answer that shares at least this many first characters with the received text is a restart. */
const MIN_RESTART = 24;
/** A continuation repeats at most the last words of the received text. Characters. */
const MAX_OVERLAP = 200;
/** A shorter repetition is taken for a coincidence. Characters. */
const MIN_OVERLAP = 4;

function commonPrefixLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

/** Length of the longest start of `text` that the received text ends with. */
function overlapLength(received: string, text: string): number {
  for (let length = Math.min(received.length, text.length, MAX_OVERLAP); length >= MIN_OVERLAP; length--)
    if (received.endsWith(text.slice(0, length))) return length;
  return 0;
}

const joinError = (message: string): GatewayError => new GatewayError("stream.interrupted", message);

/** The started stream; throws `stream.interrupted` for a whole answer, which cannot continue a stream. */
export function requireStream(answer: UpstreamAnswer): StartedStream {
  if ("response" in answer) throw joinError("another provider did not answer with a stream");
  return answer;
}
