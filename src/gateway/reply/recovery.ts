import { GatewayError } from "../../canonical/error.ts";
import type { StreamAccumulator } from "../../canonical/accumulator.ts";
import type { Block, Message, ModelResponse, StreamEvent } from "../../canonical/types.ts";
import type { StreamReader } from "../upstream/stream-reader.ts";
import type { StartedStream, UpstreamAnswer } from "../upstream/answer.ts";
import { textOfBlocks } from "../../canonical/text.ts";

/** Asks the targets that are left to go on; `said`: what the broken answer came to. Throws when none of them does. */
export type Recover = (said: readonly Message[]) => Promise<UpstreamAnswer>;

/** How a rescued answer was joined: a second one said the very same so far, or went on where the first had stopped. */
export type JoinKind = "restart" | "continuation";

/**
 * The text of a broken answer, where that is all a client has seen of it: thoughts need not be gone on with, but half a
 * call of a tool, or what only one provider can say, cannot be.
 */
export function recoverableText(folded: StreamAccumulator): string | undefined {
  const blocks = folded.messages.flatMap((message) => message.blocks);
  if (blocks.some(({ kind }) => kind !== "text" && kind !== "thinking")) return undefined;
  return textOfBlocks(blocks);
}

/** Asked by a message of the user's: several providers refuse an answer that was begun for them. */
const GO_ON =
  "Your answer above was cut off by a broken connection. Continue it exactly where it stops, with the very next " +
  "characters. Do not repeat anything, do not comment on this, do not start over.";

/** What is said after the caller's own messages, so that another model goes on with the text. */
export const continuationPrompt = (text: string): Message[] =>
  text === ""
    ? []
    : [
        { role: "assistant", blocks: [{ kind: "text", text }] },
        { role: "user", blocks: [{ kind: "text", text: GO_ON }] },
      ];

/** The events that a client has been told, so that an encoder knows where its wire stands. */
export function sentEvents({ accumulated: folded, isWithinBlock }: StreamReader): StreamEvent[] {
  const { toEvents: said } = folded;
  // A decoder that is told of the end closes the block; its client was told of no end.
  return isWithinBlock && said.at(-1)?.type === "close" ? said.slice(0, -1) : said;
}

/** Without the providers' own items: the answer will be nobody's alone. */
const plain = (messages: readonly Message[]): Message[] =>
  messages.map(({ role, blocks }) => ({ role, blocks: blocks.map(({ native: _, ...block }) => block as Block) }));

/**
 * A second answer's events → those that go on where the first has stopped. A text that begins as the first did is a
 * restart, and is passed on from where the first broke off; any other is a continuation, of which what repeats the
 * first one's end is left out. Throws `stream.interrupted` when it is neither: then the joined answer would be no whole.
 */
export class ContinuationJoiner {
  readonly #said: string;
  readonly #messages: Message[];
  readonly #index: number;
  /** What the block that goes on held already. */
  readonly #before: string;
  #how: JoinKind | undefined;
  #held = "";
  #added = "";
  #isOpen = false;
  #isText = false;

  /** `hearing`: of the broken answer. */
  constructor({ accumulated: folded, isWithinBlock }: StreamReader) {
    this.#said = recoverableText(folded) ?? "";
    this.#messages = plain(folded.messages);
    const blocks = this.#messages.flatMap((message) => message.blocks);
    const last = blocks.at(-1);
    const goesOn = isWithinBlock && last?.kind === "text";
    this.#index = goesOn ? blocks.length - 1 : blocks.length;
    this.#before = goesOn ? last.text : "";
    this.#isOpen = goesOn;
  }

  get how(): JoinKind | undefined {
    return this.#how;
  }

  push(event: StreamEvent): StreamEvent[] {
    if (event.type === "open" && event.block.kind !== "text" && event.block.kind !== "thinking")
      throw broken("another provider went on with something else than text");
    if (event.type === "open") this.#isText = event.block.kind === "text";
    if (event.type === "delta" && this.#isText) return this.#grow(event.text);
    if (event.type === "end") return this.#end(event);
    return [];
  }

  #grow(text: string): StreamEvent[] {
    if (this.#how !== undefined) return this.#say(text);
    this.#held += text;
    if (this.#said.startsWith(this.#held) && this.#held.length < this.#said.length) return [];
    return this.#decide(this.#held.length >= Math.min(this.#said.length, MOST_OVERLAP));
  }

  /** `isEnough`: nothing that is still to come could change what this is. */
  #decide(isEnough: boolean): StreamEvent[] {
    const [said, held] = [this.#said, this.#held];
    const same = commonPrefix(said, held);
    if (same === said.length) return this.#begin("restart", held.slice(same));
    if (same >= MUCH) throw broken("another provider began the answer anew, and in other words");
    if (!isEnough) return [];
    return this.#begin("continuation", held.slice(overlap(said, held)));
  }

  #begin(how: JoinKind, text: string): StreamEvent[] {
    this.#how = how;
    return this.#say(text);
  }

  #say(text: string): StreamEvent[] {
    if (text === "") return [];
    this.#added += text;
    const delta: StreamEvent = { type: "delta", index: this.#index, text };
    if (this.#isOpen) return [delta];
    this.#isOpen = true;
    return [{ type: "open", index: this.#index, block: { kind: "text", text: "" } }, delta];
  }

  #end({ finish, usage }: Extract<StreamEvent, { type: "end" }>): StreamEvent[] {
    const rest = this.#how === undefined ? this.#decide(true) : [];
    const close: StreamEvent[] = this.#isOpen
      ? [{ type: "close", index: this.#index, block: { kind: "text", text: this.#before + this.#added } }]
      : [];
    return [...rest, ...close, { type: "end", finish, usage }];
  }

  /** The joined answer, as the session keeps it: one text, by the one who ended it. */
  joined({ id }: Pick<StreamAccumulator, "id">, { model, finish, usage }: ModelResponse): ModelResponse {
    const block: Block = { kind: "text", text: this.#said + this.#added };
    const thoughts = this.#messages.flatMap(({ blocks }) => blocks.filter(({ kind }) => kind === "thinking"));
    return { id, model, messages: [{ role: "assistant", blocks: [...thoughts, block] }], finish, usage };
  }
}

/** An answer that coincides for so many characters with what was said is one that was begun anew. */
const MUCH = 24;
/** A model that goes on repeats no more than some words. Characters. */
const MOST_OVERLAP = 200;
/** Fewer may well be chance. */
const LEAST_OVERLAP = 4;

function commonPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

/** How much of the beginning of `text` is the end of `said`. */
function overlap(said: string, text: string): number {
  for (let length = Math.min(said.length, text.length, MOST_OVERLAP); length >= LEAST_OVERLAP; length--)
    if (said.endsWith(text.slice(0, length))) return length;
  return 0;
}

const broken = (message: string): GatewayError => new GatewayError("stream.interrupted", message);

/** A stream that has begun; a whole answer where one was asked for cannot go on with another. */
export function requireStream(reached: UpstreamAnswer): StartedStream {
  if ("response" in reached) throw broken("another provider gave no stream to go on with");
  return reached;
}
