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
type Atom = ["text", string] | ["call", string, string] | ["result", string] | ["media", string];
type Run = { before: string; author: Author | undefined; atoms: Atom[] };

/** The name of the place after these messages, said at the place `from`. */
export function nameAfter(from: string, messages: readonly Message[]): string {
  return nameOf(messages.reduce(say, start(from)));
}

/**
 * The longest beginning of `messages`, said at the place `from`, that ends at a known place, and how many of them it
 * holds. Only the end of something the model said can be the end of a turn.
 */
export function findBeginning<Place>(
  messages: readonly Message[],
  known: (name: string) => Place | undefined,
  from = ROOT,
): { place: Place; count: number } | undefined {
  let found: { place: Place; count: number } | undefined;
  let run = start(from);
  messages.forEach((message, i) => {
    run = say(run, message);
    if (message.role !== "assistant") return;
    const name = nameOf(run);
    const place = known(name);
    if (place === undefined) return;
    found = { place, count: i + 1 };
    run = start(name);
  });
  return found;
}

const start = (before: string): Run => ({ before, author: undefined, atoms: [] });

function say(run: Run, message: Message): Run {
  if (message.role === "system") return run;
  const author: Author = message.role === "assistant" ? "model" : "client";
  const current = author === run.author ? run : { before: nameOf(run), author, atoms: [] };
  return { ...current, author, atoms: message.blocks.reduce(addAtom, [...current.atoms]) };
}

function nameOf({ before, author, atoms }: Run): string {
  const said = atoms.map((atom) => settled(atom, author)).filter((atom) => atom[0] !== "text" || atom[1] !== "");
  return said.length === 0 ? before : sha256(JSON.stringify([before, author, said]));
}

function addAtom(atoms: Atom[], block: Block): Atom[] {
  const last = atoms.at(-1);
  switch (block.kind) {
    case "text":
      if (last?.[0] === "text") atoms[atoms.length - 1] = ["text", last[1] + block.text];
      else atoms.push(["text", block.text]);
      return atoms;
    case "tool_call":
      atoms.push(["call", block.name, block.arguments]);
      return atoms;
    case "tool_result":
      atoms.push(["result", resultText(block.content)]);
      return atoms;
    case "media":
      atoms.push(["media", sha256(sourceText(block.source))]);
      return atoms;
    case "thinking":
    case "opaque":
      return atoms;
  }
}

/**
 * What clients change without changing the meaning: white space around texts, the spelling of JSON, and, where they
 * parse what the model said and write it anew, its quotes and inner white space. Their own words they send as they are.
 */
function settled(atom: Atom, author: Author | undefined): Atom {
  if (atom[0] === "text" && author === "model")
    return ["text", atom[1].replace(/["'`]/g, "'").replace(/\s+/g, " ").trim()];
  if (atom[0] === "text") return ["text", atom[1].trim()];
  if (atom[0] === "call") return ["call", atom[1], sortedJson(atom[2])];
  return atom[0] === "result" ? ["result", sortedJson(atom[1])] : atom;
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

function sortedJson(text: string): string {
  const value = text.trim() === "" ? {} : tryParseJson(text);
  return value === undefined ? text.trim() : JSON.stringify(sorted(value));
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .toSorted()
      .map((key) => [key, sorted(value[key]!)]),
  );
}
