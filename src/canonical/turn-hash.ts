import { sha256 } from "../wire/hash.ts";
import { isObject, type Json, tryParseJson } from "../wire/json.ts";
import type { Block, Message, Part, Source } from "./types.ts";

/**
 * Names for places in a conversation, by what was said up to there: the name after a run is the hash of the name
 * before it and of what the run says, a run being consecutive messages of one author. Continuing, forking and
 * recognising a resent transcript are then each one look-up, whichever wire asks.
 *
 * System text, thinking, opaque items, tool-call ids and layout have no part in a name: clients lose or rewrite them.
 * A turn's end also ends a run, so a turn's name needs nothing but its parent's name and its own messages.
 */
export const ROOT = "";

type Author = "client" | "model";
/** `said`: its settled atoms, each as JSON text; none, and the run names nothing. */
type Run = { author: Author; atoms: string[] };

export type TurnHashes = {
  /** The place after what was said and replied. */
  chain: string;
  /** What that, and the reply alone, would be named at the root: how a part of a transcript is recognised. */
  own: string;
  reply: string;
};

/** The names of a turn that says this at the place `from`. */
export function hashTurn(from: string, said: readonly Message[], replied: readonly Message[]): TurnHashes {
  const [asked, answered] = [runsOf(said), runsOf(replied)];
  // What the client says last in the model's name is the beginning of the reply.
  const isJoined = asked.at(-1)?.author === answered[0]?.author;
  const runs = isJoined ? runsOf([...said, ...replied]) : [...asked, ...answered];
  const own = hashRuns(ROOT, runs);
  return { chain: from === ROOT ? own : hashRuns(from, runs), own, reply: hashRuns(ROOT, answered) };
}

/** The name of the place after these messages, said at the place `from`. */
export const hashAfter = (from: string, messages: readonly Message[]): string => hashRuns(from, runsOf(messages));

/**
 * The longest beginning of `messages`, said at the place `from`, that ends at a known place, and how many of them it
 * holds. Only the end of something the model said can be the end of a turn.
 */
export function findLongestKnownPrefix<Place>(
  messages: readonly Message[],
  known: (name: string) => Place | undefined,
  from = ROOT,
): { place: Place; count: number } | undefined {
  let found: { place: Place; count: number } | undefined;
  let before = from;
  let open: OpenRun | undefined;
  messages.forEach((message, i) => {
    if (message.role === "system") return;
    const author = authorOf(message);
    if (open?.author !== author) {
      before = hashRuns(before, open === undefined ? [] : [open.run]);
      open = new OpenRun(author);
    }
    open.add(message);
    if (author !== "model") return;
    const name = hashRuns(before, [open.run]);
    const place = known(name);
    if (place === undefined) return;
    found = { place, count: i + 1 };
    before = name;
    open = undefined;
  });
  return found;
}

const hashRuns = (from: string, runs: readonly Run[]): string =>
  runs.reduce(
    (before, { author, atoms: said }) =>
      said.length === 0 ? before : sha256(`[${JSON.stringify(before)},"${author}",[${said.join(",")}]]`),
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

/** A run as it grows. Neighbouring texts are one, so the last is settled only when it is known to have ended. */
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

/** What is no text, in what of it clients leave as it was: not the spelling of JSON. */
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
 * What clients change without changing the meaning: white space around texts, and, where they parse what the model said
 * and write it anew, its quotes and inner white space. Their own words they send as they are.
 */
function normalize(text: string, author: Author): string {
  if (author === "client") return text.trim();
  // Single blanks, which are most white space, stay where they are: replacing each of them is what takes time.
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

function sortKeys(value: Json): Json {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .toSorted()
      .map((key) => [key, sortKeys(value[key]!)]),
  );
}
