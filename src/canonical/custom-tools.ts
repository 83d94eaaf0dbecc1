import { isObject, type Json, stringifyMember, tryParseJson } from "../wire/json.ts";
import type { FunctionTool } from "./types.ts";

/** The text of a custom tool's call as the arguments of a function. */
export const customArguments = (input: Json | undefined): string => JSON.stringify({ input: stringifyMember(input) });

/** The part of `customArguments` before the text. */
export const CUSTOM_START = '{"input":"';
/** The part of `customArguments` after the text. */
export const CUSTOM_END = '"}';

/** A piece of the text as a piece of the arguments, between `CUSTOM_START` and `CUSTOM_END`. */
export const escapeCustomInput = (piece: string): string => JSON.stringify(piece).slice(1, -1);

/**
 * Inverse of `customArguments`. A model that was offered the tool as a function can call it otherwise: incomplete arguments
 * give the text so far, arguments of another form are the text themselves.
 */
export function readCustomInput(args: string): string {
  const value = tryParseJson(args);
  if (isObject(value)) {
    if (typeof value.input === "string") return value.input;
    return Object.keys(value).length === 0 ? "" : args;
  }
  const reader = new CustomInputReader();
  const text = reader.push(args);
  return reader.hasStarted ? text : args;
}

/** Reads the text of a custom tool's call from arguments that arrive in pieces. */
export class CustomInputReader {
  #hasStarted = false;
  #hasEnded = false;
  /** Characters that have no meaning yet: the start of the arguments, or an incomplete escape sequence. */
  #pending = "";

  /** The start of the text was received. */
  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  /** The characters of the text that are complete with this piece. */
  push(piece: string): string {
    if (this.#hasEnded) return "";
    this.#pending += piece;
    if (!this.#hasStarted) {
      const start = START.exec(this.#pending);
      if (start === null) return "";
      this.#hasStarted = true;
      this.#pending = this.#pending.slice(start[0].length);
    }
    const [encoded] = COMPLETE.exec(this.#pending)!;
    const text = tryParseJson(`"${encoded.replaceAll(CONTROL, (char) => escapeCustomInput(char))}"`);
    this.#pending = this.#pending.slice(encoded.length);
    this.#hasEnded = this.#pending.startsWith('"');
    return typeof text === "string" ? text : "";
  }
}

const START = /^\s*\{\s*"input"\s*:\s*"/;
/** Whole characters and escape sequences of a JSON string. */
const COMPLETE = /^(?:[^"\\]|\\(?:[^u]|u[\da-fA-F]{4}))*/;
/** Characters that JSON requires to be escaped, and that some models do not escape. */
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f]/g;

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
