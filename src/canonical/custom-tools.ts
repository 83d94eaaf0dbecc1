import { isObject, type Json, stringifyMember, tryParseJson } from "../wire/json.ts";
import type { FunctionTool } from "./types.ts";

/** The text of a custom tool's call as the arguments of a function. */
export const customArguments = (input: Json | undefined): string => JSON.stringify({ input: stringifyMember(input) });

/** The part of `customArguments` before the text. */
export const CUSTOM_START = '{"input":"';

/** A piece of the text as a piece of the arguments, behind `CUSTOM_START`. */
export const escapeCustomInput = (piece: string): string => JSON.stringify(piece).slice(1, -1);

/**
 * Inverse of `customArguments`. A model that was offered the tool as a function can call it otherwise: incomplete arguments
 * give the text so far, a text under another name counts if it is the only member, arguments of another form are the text
 * themselves.
 */
export function readCustomInput(args: string): string {
  const value = tryParseJson(args);
  if (isObject(value)) {
    if (typeof value.input === "string") return value.input;
    const [text = "", ...others] = Object.values(value);
    return typeof text === "string" && others.length === 0 ? text : args;
  }
  const reader = new CustomInputReader();
  const text = reader.push(args);
  if (reader.hasStarted) return text;
  const other = new CustomInputReader(OTHER_START);
  const only = other.push(args);
  return other.hasStarted && other.isLast ? only : args;
}

/** Reads the text of a custom tool's call from arguments that arrive in pieces. */
export class CustomInputReader {
  readonly #start: RegExp;
  #hasStarted = false;
  #hasEnded = false;
  /** Characters that have no meaning yet: the start of the arguments, or an incomplete escape sequence. */
  #pending = "";
  /** The first half of a surrogate pair: a client cannot join halves of separate pieces. */
  #half = "";

  /** `start`: the arguments before the text. */
  constructor(start = START) {
    this.#start = start;
  }

  /** No member was received after the text. */
  get isLast(): boolean {
    return !this.#hasEnded || /^"\s*\}*\s*$/.test(this.#pending);
  }

  /** The start of the text was received. */
  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  /** The characters of the text that are complete with this piece. */
  push(piece: string): string {
    if (this.#hasEnded) return "";
    this.#pending += piece;
    if (!this.#hasStarted) {
      const start = this.#start.exec(this.#pending);
      if (start === null) return "";
      this.#hasStarted = true;
      this.#pending = this.#pending.slice(start[0].length);
    }
    const [encoded] = COMPLETE.exec(this.#pending)!;
    const text = this.#half + unescapeText(encoded);
    this.#pending = this.#pending.slice(encoded.length);
    this.#hasEnded = this.#pending.startsWith('"');
    const end = HIGH_SURROGATE.test(text) && !this.#hasEnded ? text.length - 1 : text.length;
    this.#half = text.slice(end);
    return text.slice(0, end);
  }
}

const START = /^\s*\{\s*"input"\s*:\s*"/;
/** The start of a text under any name. */
const OTHER_START = /^\s*\{\s*"(?:[^"\\]|\\[^])*"\s*:\s*"/;
/** Whole characters and escape sequences of a JSON string. A `u` without four digits behind it ends no sequence. */
const COMPLETE = /^(?:[^"\\]+|\\(?:u[\da-fA-F]{4}|u(?![\da-fA-F]{0,3}$)|[^u]))*/;
const HIGH_SURROGATE = /[\uD800-\uDBFF]$/;

/** The text of a JSON string. Some models do not escape control characters and backslashes: these stand for themselves. */
const unescapeText = (encoded: string): string =>
  encoded.replaceAll(/\\(?:u([\da-fA-F]{4})|([^]))/g, (sequence, digits: string | undefined, char: string) =>
    digits === undefined ? (ESCAPED[char] ?? sequence) : String.fromCharCode(Number.parseInt(digits, 16)),
  );

/** RFC 8259, section 7. */
const ESCAPED: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/** A custom tool's input as the parameters of a function. A grammar is described, because no schema can represent it. */
export function describeCustomInput({ grammar }: NonNullable<FunctionTool["custom"]>): Json {
  const rule =
    grammar === undefined ? "" : ` It must match this ${grammar.syntax} grammar:\n${grammar.definition.trimEnd()}`;
  return {
    type: "object",
    properties: { input: { type: "string", description: `The whole input of the tool, as free text.${rule}` } },
    required: ["input"],
    additionalProperties: false,
  };
}
