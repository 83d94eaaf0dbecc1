import { GatewayError } from "../../canonical/error.ts";
import type { StreamAccumulator } from "../../canonical/accumulator.ts";
import type { Block, Message, ModelResponse, StreamEvent } from "../../canonical/types.ts";
import type { StreamReader } from "../upstream/stream-reader.ts";
import type { StartedStream, UpstreamAnswer } from "../upstream/answer.ts";
import { textOfBlocks } from "../../canonical/text.ts";

/** Asks the targets that are left to go on; `said`: what the broken answer came to. Throws when none of them does. */
export type Recover = (received: readonly Message[]) => Promise<UpstreamAnswer>;

/** How a rescued answer was joined: a second one said the very same so far, or went on where the first had stopped. */
export type JoinKind = "restart" | "continuation";

/**
 * The text of a broken answer, where that is all a client has seen of it: thoughts need not be gone on with, but half a
 * call of a tool, or what only one provider can say, cannot be.
 */
export function recoverableText(accumulated: StreamAccumulator): string | undefined {
  const blocks = accumulated.messages.flatMap((message) => message.blocks);
  if (blocks.some(({ kind }) => kind !== "text" && kind !== "thinking")) return undefined;
  return textOfBlocks(blocks);
}

/** Asked by a message of the user's: several providers refuse an answer that was begun for them. */
const CONTINUE_PROMPT =
  "Your answer above was cut off by a broken connection. Continue it exactly where it stops, with the very next " +
  "characters. Do not repeat anything, do not comment on this, do not start over.";

/** What is said after the caller's own messages, so that another model goes on with the text. */
export const continuationPrompt = (text: string): Message[] =>
  text === ""
    ? []
    : [
        { role: "assistant", blocks: [{ kind: "text", text }] },
        { role: "user", blocks: [{ kind: "text", text: CONTINUE_PROMPT }] },
      ];

/** The events that a client has been told, so that an encoder knows where its wire stands. */
export function sentEvents({ accumulated, isWithinBlock }: StreamReader): StreamEvent[] {
  const { toEvents: received } = accumulated;
  // A decoder that is told of the end closes the block; its client was told of no end.
  return isWithinBlock && received.at(-1)?.type === "close" ? received.slice(0, -1) : received;
}

/** Without the providers' own items: the answer will be nobody's alone. */
const withoutNative = (messages: readonly Message[]): Message[] =>
  messages.map(({ role, blocks }) => ({ role, blocks: blocks.map(({ native: _, ...block }) => block as Block) }));

/**
 * A second answer's events → those that go on where the first has stopped. A text that begins as the first did is a
 * restart, and is passed on from where the first broke off; any other is a continuation, of which what repeats the
 * first one's end is left out. Throws `stream.interrupted` when it is neither: then the joined answer would be no whole.
 */
export class ContinuationJoiner {
  readonly #received: string;
  readonly #messages: Message[];
  readonly #index: number;
  /** What the block that goes on held already. */
  readonly #blockStart: string;
  #kind: JoinKind | undefined;
  #pending = "";
  #added = "";
  #isOpen = false;
  #isText = false;

  /** `hearing`: of the broken answer. */
  constructor({ accumulated, isWithinBlock }: StreamReader) {
    this.#received = recoverableText(accumulated) ?? "";
    this.#messages = withoutNative(accumulated.messages);
    const blocks = this.#messages.flatMap((message) => message.blocks);
    const last = blocks.at(-1);
    const continuesBlock = isWithinBlock && last?.kind === "text";
    this.#index = continuesBlock ? blocks.length - 1 : blocks.length;
    this.#blockStart = continuesBlock ? last.text : "";
    this.#isOpen = continuesBlock;
  }

  get kind(): JoinKind | undefined {
    return this.#kind;
  }

  push(event: StreamEvent): StreamEvent[] {
    if (event.type === "open" && event.block.kind !== "text" && event.block.kind !== "thinking")
      throw joinError("another provider went on with something else than text");
    if (event.type === "open") this.#isText = event.block.kind === "text";
    if (event.type === "delta" && this.#isText) return this.#pushText(event.text);
    if (event.type === "end") return this.#end(event);
    return [];
  }

  #pushText(text: string): StreamEvent[] {
    if (this.#kind !== undefined) return this.#emit(text);
    this.#pending += text;
    if (this.#received.startsWith(this.#pending) && this.#pending.length < this.#received.length) return [];
    return this.#classify(this.#pending.length >= Math.min(this.#received.length, MAX_OVERLAP));
  }

  /** `isEnough`: nothing that is still to come could change what this is. */
  #classify(isEnough: boolean): StreamEvent[] {
    const [received, pending] = [this.#received, this.#pending];
    const same = commonPrefixLength(received, pending);
    if (same === received.length) return this.#start("restart", pending.slice(same));
    if (same >= MIN_RESTART) throw joinError("another provider began the answer anew, and in other words");
    if (!isEnough) return [];
    return this.#start("continuation", pending.slice(overlapLength(received, pending)));
  }

  #start(kind: JoinKind, text: string): StreamEvent[] {
    this.#kind = kind;
    return this.#emit(text);
  }

  #emit(text: string): StreamEvent[] {
    if (text === "") return [];
    this.#added += text;
    const delta: StreamEvent = { type: "delta", index: this.#index, text };
    if (this.#isOpen) return [delta];
    this.#isOpen = true;
    return [{ type: "open", index: this.#index, block: { kind: "text", text: "" } }, delta];
  }

  #end({ finish, usage }: Extract<StreamEvent, { type: "end" }>): StreamEvent[] {
    const rest = this.#kind === undefined ? this.#classify(true) : [];
    const close: StreamEvent[] = this.#isOpen
      ? [{ type: "close", index: this.#index, block: { kind: "text", text: this.#blockStart + this.#added } }]
      : [];
    return [...rest, ...close, { type: "end", finish, usage }];
  }

  /** The joined answer, as the session keeps it: one text, by the one who ended it. */
  toResponse({ id }: Pick<StreamAccumulator, "id">, { model, finish, usage }: ModelResponse): ModelResponse {
    const block: Block = { kind: "text", text: this.#received + this.#added };
    const thoughts = this.#messages.flatMap(({ blocks }) => blocks.filter(({ kind }) => kind === "thinking"));
    return { id, model, messages: [{ role: "assistant", blocks: [...thoughts, block] }], finish, usage };
  }
}

/** An answer that coincides for so many characters with what was said is one that was begun anew. */
const MIN_RESTART = 24;
/** A model that goes on repeats no more than some words. Characters. */
const MAX_OVERLAP = 200;
/** Fewer may well be chance. */
const MIN_OVERLAP = 4;

function commonPrefixLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

/** How much of the beginning of `text` is the end of `said`. */
function overlapLength(received: string, text: string): number {
  for (let length = Math.min(received.length, text.length, MAX_OVERLAP); length >= MIN_OVERLAP; length--)
    if (received.endsWith(text.slice(0, length))) return length;
  return 0;
}

const joinError = (message: string): GatewayError => new GatewayError("stream.interrupted", message);

/** A stream that has begun; a whole answer where one was asked for cannot go on with another. */
export function requireStream(answer: UpstreamAnswer): StartedStream {
  if ("response" in answer) throw joinError("another provider gave no stream to go on with");
  return answer;
}
