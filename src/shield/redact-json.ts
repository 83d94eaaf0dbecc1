import { type Edit, splice } from "../wire/splice.ts";
import type { Find, Kind } from "./detect/find.ts";
import { findValues } from "./detector.ts";
import { type Leaf, listLeaves, readLeaf, type JsonScope, toJsonEdits } from "./json-leaves.ts";
import { endInOriginal, normalizeText, startInOriginal } from "./normal.ts";
import type { Rules } from "./rules.ts";

/** What stands for a value, undefined if it stays. `isNumber`: it is a number of JSON, and what stands for it must be one. */
export type Substitute = (value: string, kind: Kind, where: Where) => string | undefined;

/** Where a value is. `leaf`: of the outermost JSON text. */
export type Where = { leaf: Leaf; isNumber: boolean };

/** A find in a JSON text, and what it is in. */
export type JsonFind = { kind: Kind; leaf: Leaf; value: string };

/**
 * `isRead`: whether a leaf is read at all; what is sealed and what is data of media is not. `onText`: sees each text that is read.
 * `isAnswer`: the log probabilities beside a changed text, which spell it, are removed.
 */
export type Reading = {
  isAnswer?: true;
  isRead: (leaf: Leaf) => boolean;
  substitute: Substitute;
  onText?: (text: string, leaf: Leaf) => void;
};

/** Digits of the shortest number that is a value. */
const MIN_NUMBER = 7;

/**
 * A JSON text with what stands for the values in it: strings, keys and numbers are changed in their own places, all other bytes stay.
 * The same text if nothing is changed.
 */
export function redactJson(json: string, rules: Rules, reading: Reading): { json: string; finds: JsonFind[] } {
  const { edits, finds } = redactLeaves(json, [...listLeaves(json)], rules, reading);
  return { json: edits.length === 0 ? json : splice(json, edits), finds };
}

/** The same for some leaves of a text, as edits in their order. */
export function redactLeaves(
  json: string,
  leaves: readonly Leaf[],
  rules: Rules,
  reading: Reading,
): { edits: Edit[]; finds: JsonFind[] } {
  const edits: Edit[] = [];
  const finds: JsonFind[] = [];
  for (const leaf of leaves) {
    const isNumber = leaf.kind === "number";
    if ((isNumber && leaf.end - leaf.start < MIN_NUMBER) || !reading.isRead(leaf)) continue;
    const text = readLeaf(json, leaf);
    reading.onText?.(text, leaf);
    const inner = isNumber ? redactNumber(text, rules, reading, leaf) : redactText(text, rules, reading, leaf);
    finds.push(...inner.finds);
    if (inner.edits.length === 0) continue;
    edits.push(...(isNumber ? inner.edits : toJsonEdits(json, leaf, inner.edits)));
    if (reading.isAnswer) edits.push(...forgetSpelling(leaf.scope));
  }
  return { edits: inOrder(edits), finds };
}

/**
 * The same for what a string says, `leaf`. One that is a JSON text itself, as arguments of tools are, stays one: its numbers stay numbers,
 * and no name in it is the wire's.
 */
export function redactText(
  text: string,
  rules: Rules,
  reading: Pick<Reading, "substitute">,
  leaf: Leaf,
): { edits: Edit[]; finds: JsonFind[] } {
  if (isJson(text)) {
    const { edits, finds } = redactLeaves(text, [...listLeaves(text)], rules, {
      isRead: () => true,
      substitute: (value, kind, { isNumber }) => reading.substitute(value, kind, { leaf, isNumber }),
    });
    return { edits, finds: finds.map((find) => ({ ...find, leaf })) };
  }
  const found = findInText(text, rules);
  const finds = found.map(({ start, end, kind }) => ({ kind, leaf, value: text.slice(start, end) }));
  const edits = found.flatMap(({ start, end, kind }, i): Edit[] => {
    const instead = reading.substitute(finds[i]!.value, kind, { leaf, isNumber: false });
    return instead === undefined ? [] : [{ start, end, text: instead }];
  });
  return { edits, finds };
}

function redactNumber(
  text: string,
  rules: Rules,
  { substitute }: Reading,
  leaf: Leaf,
): { edits: Edit[]; finds: JsonFind[] } {
  const [found] = findInText(text, rules);
  if (found === undefined) return { edits: [], finds: [] };
  const instead = substitute(text, found.kind, { leaf, isNumber: true });
  const edits = instead === undefined ? [] : [{ start: leaf.start, end: leaf.end, text: instead }];
  return { edits, finds: [{ kind: found.kind, leaf, value: text }] };
}

/** Whether a text is a JSON object or array. */
export function isJson(text: string): boolean {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Removes the log probabilities of tokens that spell a text which was changed. */
export function forgetSpelling(scope: JsonScope): Edit[] {
  for (let one: JsonScope | undefined = scope; one !== undefined; one = one.parent)
    if (one.spelling !== undefined) {
      const { start, end, isArray } = one.spelling;
      return [{ start, end, text: isArray ? "[]" : "null" }];
    }
  return [];
}

/** Each once. */
export const inOrder = (edits: readonly Edit[]): Edit[] =>
  edits.toSorted((a, b) => a.start - b.start).filter(({ start }, i, all) => i === 0 || all[i - 1]!.start !== start);

/** The values of a text, where they stand in it. */
export function findInText(text: string, rules: Rules): Find[] {
  const normal = normalizeText(text);
  return findValues(normal.text, rules).map(({ start, end, kind }) => ({
    start: startInOriginal(normal, start),
    end: endInOriginal(normal, end),
    kind,
  }));
}
