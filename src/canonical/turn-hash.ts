import { sha256 } from "../wire/hash.ts";
import { type Json, tryParseJson } from "../wire/json.ts";
import type { Block, Message, Part, Source } from "./types.ts";

/**
 * Hashes that identify a point in a conversation by its content. A run is a sequence of messages by one author; the hash
 * after a run covers the hash before it and the run. Continuing a session, branching and recognising a transcript that a
 * client sends again are then one look-up each, independent of the client's wire format.
 *
 * System messages, reasoning, opaque blocks, tool-call ids and layout are not hashed: clients drop or rewrite them. The
 * end of a turn always ends a run, so the hash of a turn depends only on its parent's hash and its own messages.
 */
export const ROOT = "";

export type TurnHashes = {
  /** The hash after the turn, starting from its parent's. */
  chain: string;
  /** The hash of the turn alone and of its reply alone, starting from the root: they identify a turn within a transcript. */
  own: string;
  reply: string;
};

/** The hashes of a turn with this input and reply. `from`: the `chain` of its parent, or `ROOT`. */
export function hashTurn(from: string, input: readonly Message[], reply: readonly Message[]): TurnHashes {
  const [inputRuns, replyRuns] = [runsOf(input), runsOf(reply)];
  // An assistant message at the end of the input is a prefill: one run with the reply.
  const isJoined = inputRuns.at(-1)?.author === replyRuns[0]?.author;
  const runs = isJoined ? runsOf([...input, ...reply]) : [...inputRuns, ...replyRuns];
  const own = hashRuns(ROOT, runs);
  return { chain: from === ROOT ? own : hashRuns(from, runs), own, reply: hashRuns(ROOT, replyRuns) };
}

/** The hashes after a turn's input: what `hashReply` needs of it, once the reply is known. */
export type InputHashes = Pick<TurnHashes, "chain" | "own">;

/** The hashes after this input of a turn. `from`: as for `hashTurn`. */
export const hashInput = (from: string, input: readonly Message[]): InputHashes => ({
  chain: hashAfter(from, input),
  own: hashAfter(ROOT, input),
});

/** The hashes of a turn with this reply: those of `hashTurn`, unless its input ends with a message of the model. */
export const hashReply = ({ chain, own }: InputHashes, reply: readonly Message[]): TurnHashes => ({
  chain: hashAfter(chain, reply),
  own: hashAfter(own, reply),
  reply: hashAfter(ROOT, reply),
});

/** The hash after these messages, starting from the hash `from`. */
export const hashAfter = (from: string, messages: readonly Message[]): string => hashRuns(from, runsOf(messages));

/**
 * The longest prefix of `messages` whose hash `lookUp` knows. Only prefixes that end with a model message are looked up,
 * since a turn ends with one; `reply`: the messages of the model at its end. `from`: the hash before the first message.
 * `onPrefix` gets each known prefix, the longest one last.
 */
export function findLongestKnownPrefix<Match>(
  messages: readonly Message[],
  lookUp: (hash: string, reply: readonly Message[]) => Match | undefined,
  from = ROOT,
  onPrefix?: (prefix: KnownPrefix<Match>) => void,
): KnownPrefix<Match> | undefined {
  let found: KnownPrefix<Match> | undefined;
  let before = from;
  let open: OpenRun | undefined;
  let start = 0;
  messages.forEach((message, i) => {
    if (message.role === "system") return;
    const author = authorOf(message);
    if (open?.author !== author) {
      before = hashRuns(before, open === undefined ? [] : [open.run]);
      open = new OpenRun(author);
      start = i;
    }
    open.add(message);
    if (author !== "model") return;
    const hash = hashRuns(before, [open.run]);
    const match = lookUp(hash, messages.slice(start, i + 1));
    if (match === undefined) return;
    found = { match, count: i + 1, replyAt: start, hash };
    onPrefix?.(found);
    before = hash;
    open = undefined;
  });
  return found;
}

/**
 * A known prefix: what `lookUp` returned for its hash, its number of messages, and the index of the first message of the
 * reply at its end.
 */
export type KnownPrefix<Match> = { match: Match; count: number; replyAt: number; hash: string };

type Author = "client" | "model";
/** `atoms`: the hashed parts, each as JSON text. A run without any leaves the hash unchanged. */
type Run = { author: Author; atoms: string[] };

/** Empty runs are skipped. The format is stored with every turn: changing it makes stored sessions unrecognisable. */
const hashRuns = (from: string, runs: readonly Run[]): string =>
  runs.reduce(
    (before, { author, atoms }) =>
      atoms.length === 0 ? before : sha256(`[${JSON.stringify(before)},"${author}",[${atoms.join(",")}]]`),
    from,
  );

function runsOf(messages: readonly Message[]): Run[] {
  const runs: OpenRun[] = [];
  for (const message of messages) {
    if (message.role === "system") continue;
    const author = authorOf(message);
    if (runs.at(-1)?.author !== author) runs.push(new OpenRun(author));
    runs.at(-1)!.add(message);
  }
  return runs.map(({ run }) => run);
}

const authorOf = ({ role }: Message): Author => (role === "assistant" ? "model" : "client");

/** A run under construction. Neighbouring texts are hashed as one, so the last text is pending until another atom follows. */
class OpenRun {
  readonly author: Author;
  readonly #atoms: string[] = [];
  #text = "";

  constructor(author: Author) {
    this.author = author;
  }

  get run(): Run {
    return { author: this.author, atoms: [...this.#atoms, ...this.#textAtoms()] };
  }

  add({ blocks }: Message): void {
    for (const block of blocks) {
      if (block.kind === "text") this.#text += block.text;
      const atom = atomOf(block);
      if (atom === undefined) continue;
      this.#atoms.push(...this.#textAtoms(), JSON.stringify(atom));
      this.#text = "";
    }
  }

  #textAtoms(): string[] {
    const text = normalize(this.#text, this.author);
    return text === "" ? [] : [JSON.stringify(["text", text])];
  }
}

/** The hashed part of a block other than text, reduced to what clients send back unchanged: JSON is canonicalised. */
function atomOf(block: Block): string[] | undefined {
  switch (block.kind) {
    case "tool_call":
      return ["call", block.name, canonicalJson(block.arguments)];
    case "tool_result":
      return ["result", canonicalJson(resultText(block.content))];
    case "media":
      return ["media", sha256(sourceText(block.source))];
    case "text":
    case "thinking":
    case "opaque":
      return undefined;
  }
}

/**
 * Removes what clients change without changing the meaning: white space around a text and, in model text, which some
 * clients parse and render again, the kind of quotes and inner white space. Client text is only trimmed.
 */
function normalize(text: string, author: Author): string {
  if (author === "client") return text.trim();
  // The pattern skips single spaces, which are most white space: replacing each of them would dominate the running time.
  return text
    .replaceAll('"', "'")
    .replaceAll("`", "'")
    .replace(/[^\S ]\s*| \s+/g, " ")
    .trim();
}

const resultText = (content: readonly Part[]): string =>
  content
    .map((part) => (part.kind === "text" ? part.text : part.kind === "media" ? sha256(sourceText(part.source)) : ""))
    .join("");

function sourceText(source: Source): string {
  if (source.type === "base64") return source.data;
  if (source.type === "url") return source.url;
  return source.type === "file" ? source.id : source.text;
}

function canonicalJson(text: string): string {
  const value = text.trim() === "" ? {} : tryParseJson(text);
  return value === undefined ? text.trim() : JSON.stringify(sortKeys(value));
}

/** A number that a double cannot represent is written as the object that holds its text: the format is stored. */
function sortKeys(value: Json): Json {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.keys(value)
      .toSorted()
      .map((key) => [key, sortKeys(value[key]!)]),
  );
}
