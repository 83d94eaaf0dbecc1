import { type Edit, splice } from "../wire/splice.ts";
import type { Find, Kind } from "./detect/find.ts";
import { findValues } from "./detector.ts";
import { type Leaf, listLeaves, readLeaf, toJsonEdits } from "./json-leaves.ts";
import { endInOriginal, normalizeText, startInOriginal } from "./normal.ts";
import type { Rules } from "./rules.ts";

/** What stands for a value. `isNumber`: it is a number of JSON, and what stands for it must be one. */
export type Substitute = (value: string, kind: Kind, isNumber: boolean) => string;

/** A find in a JSON text, and what it is in. */
export type JsonFind = { kind: Kind; member: string | undefined; value: string };

/** Digits of the shortest number that is a value. */
const MIN_NUMBER = 7;

/**
 * A JSON text with what stands for the values in it: strings, keys and numbers are changed in their own places, all other bytes stay.
 * `isRead`: whether a leaf is read at all; what is sealed and what is data of media is not. The same text if nothing is found.
 */
export function redactJson(
  json: string,
  rules: Rules,
  { isRead, substitute }: { isRead: (leaf: Leaf) => boolean; substitute: Substitute },
): { json: string; finds: JsonFind[] } {
  const edits: Edit[] = [];
  const finds: JsonFind[] = [];
  for (const leaf of listLeaves(json)) {
    if ((leaf.kind === "number" && leaf.end - leaf.start < MIN_NUMBER) || !isRead(leaf)) continue;
    const text = readLeaf(json, leaf);
    const found = findInText(text, rules);
    if (found.length === 0) continue;
    for (const { start, end, kind } of found) finds.push({ kind, member: leaf.member, value: text.slice(start, end) });
    if (leaf.kind === "number") edits.push({ ...leaf, text: substitute(text, found[0]!.kind, true) });
    else edits.push(...toJsonEdits(json, leaf, editsOf(text, found, rules, { isRead, substitute })));
  }
  return finds.length === 0 ? { json, finds } : { json: splice(json, edits), finds };
}

/** The edits of a string. One that is a JSON text itself, as arguments of tools are, stays one: its numbers stay numbers. */
function editsOf(
  text: string,
  found: readonly Find[],
  rules: Rules,
  options: { isRead: (leaf: Leaf) => boolean; substitute: Substitute },
): Edit[] {
  if (/^\s*[[{]/.test(text) && isJson(text)) {
    const inner = redactJson(text, rules, options);
    return inner.json === text ? [] : [{ start: 0, end: text.length, text: inner.json }];
  }
  return found.map(({ start, end, kind }) => ({
    start,
    end,
    text: options.substitute(text.slice(start, end), kind, false),
  }));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The values of a text, where they stand in it. */
export function findInText(text: string, rules: Rules): Find[] {
  const normal = normalizeText(text);
  return findValues(normal.text, rules).map(({ start, end, kind }) => ({
    start: startInOriginal(normal, start),
    end: endInOriginal(normal, end),
    kind,
  }));
}
