import type { Edit } from "../wire/splice.ts";
import { type Leaf, readLeaf, toJsonEdits } from "./json-leaves.ts";
import { isJson } from "./redact-json.ts";

/** The value of a tag, in large letters; undefined: it is not to be restored, or none is known. */
export type Vault = (tag: string) => string | undefined;

const TAG = /(?<![A-Za-z0-9_])PII_[A-Z0-9]+(?:_[A-Z0-9]+)*_[A-Z2-7]{8}(?![A-Za-z0-9_])/gi;
/** A word that may go on to be a tag. */
const TAG_START = /(?<![A-Za-z0-9_])(?:P|PI|PII|PII_[A-Z0-9_]*)$/i;
/** A value inside a link would be sent to the link's host as soon as the text is shown. */
const LINK = /[a-z][a-z0-9+.-]*:\/\/\S*$/i;
const LINK_LENGTH = 4_096;

/** Puts values back where their tags stand, except in links. The edits of a whole text. */
export function restoreAll(text: string, vault: Vault): Edit[] {
  const restorer = new Restorer(vault);
  return [...restorer.push(text).edits, ...restorer.end().edits];
}

/** The same for strings of a JSON text. Inside one that is JSON itself, a value is written as JSON has it. */
export const restoreLeaves = (json: string, leaves: Iterable<Leaf>, vault: Vault): Edit[] =>
  Array.from(leaves).flatMap((leaf) => {
    if (leaf.kind === "number" || !json.slice(leaf.start, leaf.end).toUpperCase().includes("PII_")) return [];
    const text = readLeaf(json, leaf);
    const edits = restoreAll(text, vault);
    return toJsonEdits(json, leaf, isJson(text) ? edits.map(asJson) : edits);
  });

/** An edit inside a string of a JSON text. */
export const asJson = (edit: Edit): Edit => ({ ...edit, text: JSON.stringify(edit.text).slice(1, -1) });

/**
 * Finds tags in a text that comes in pieces, however it is cut: the last word is undecided as long as it may become a tag. Offsets are
 * those of the whole text.
 */
export class Restorer {
  readonly #vault: Vault;
  #text = "";
  #at = 0;
  /** The end of what stands before it. */
  #before = "";

  constructor(vault: Vault) {
    this.#vault = vault;
  }

  push(piece: string): { end: number; edits: Edit[] } {
    this.#text += piece;
    return this.#decide(true);
  }

  end(): { end: number; edits: Edit[] } {
    return this.#decide(false);
  }

  #decide(goesOn: boolean): { end: number; edits: Edit[] } {
    const whole = this.#before + this.#text;
    const cut = (goesOn ? TAG_START.exec(whole)?.index : undefined) ?? whole.length;
    const edits: Edit[] = [];
    for (const { index, 0: tag } of whole.slice(0, cut).matchAll(TAG)) {
      const value = index < this.#before.length ? undefined : this.#vault(tag.toUpperCase());
      if (value === undefined || LINK.test(whole.slice(Math.max(0, index - LINK_LENGTH), index))) continue;
      const start = this.#at + index - this.#before.length;
      edits.push({ start, end: start + tag.length, text: value });
    }
    const size = cut - this.#before.length;
    this.#text = this.#text.slice(size);
    this.#at += size;
    // As far as a link goes back.
    this.#before = /\S*$/.exec(whole.slice(Math.max(0, cut - LINK_LENGTH), cut))![0];
    return { end: this.#at, edits };
  }
}
