import { cutCitations, shiftCitations } from "../../canonical/citations.ts";
import type { Block, Citation, Text } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, numberOf, stringifyMember } from "../../wire/json.ts";

/**
 * The citations of each part, empty where nothing is cited. `segment` counts UTF-8 bytes of the part `partIndex` (Gemini
 * API, Segment). Recorded answers have no `partIndex`, also where code or reasoning is before the text, and count in all
 * text of the answer: the marked words tell which of the two it is. `isWhole`: no parts will follow.
 */
export function decodeGrounding(parts: readonly Json[], grounding: Json | undefined, isWhole: boolean): Citation[][] {
  const supports = isObject(grounding) ? listOf(grounding.groundingSupports).filter(isObject) : [];
  if (supports.length === 0) return parts.map(() => []);
  const sources = listOf((grounding as JsonObject).groundingChunks).map(sourceOf);
  const texts = parts.map(answerTextOf);
  const bases = texts.map((_, i) => texts.slice(0, i).join("").length);
  const answer = { text: texts.join(""), base: 0 };
  const citations = supports.flatMap(({ segment, groundingChunkIndices: indices }): Citation[] => {
    if (!isObject(segment)) return [];
    const at = numberOf(segment.partIndex) ?? 0;
    const own = { text: texts[at] ?? "", base: bases[at] ?? 0 };
    const range = findSegment([own, answer], segment, isWhole);
    if (range === undefined) return [];
    return listOf(indices).flatMap((index) => {
      const source = sources[typeof index === "number" ? index : -1];
      return source === undefined ? [] : [{ ...source, ...range }];
    });
  });
  return texts.map((text, i) =>
    cutCitations(citations, bases[i]!, text).map((cited) => ({ ...cited, text: text.slice(cited.start, cited.end) })),
  );
}

/** Adds the citations of the parts that the blocks were decoded from. */
export function withCitations(blocks: readonly Block[], parts: readonly Json[], grounding: Json | undefined): Block[] {
  if (!isObject(grounding)) return [...blocks];
  const citations = decodeGrounding(parts, grounding, true);
  let next = 0;
  return blocks.map((block) => {
    const at = parts.indexOf(block.native?.item ?? (block.kind === "text" ? block.text : null), next);
    if (at < 0) return block;
    next = at + 1;
    return block.kind === "text" && citations[at]!.length > 0 ? { ...block, citations: citations[at]! } : block;
  });
}

/**
 * Inverse of `decodeGrounding`, for answers of other providers; `undefined` if nothing is cited. `parts`: the text of each
 * part. A citation without a position refers to the whole text.
 */
export function encodeGrounding(parts: readonly (Text | undefined)[]): JsonObject | undefined {
  const chunks: Json[] = [];
  const supports: Json[] = [];
  parts.forEach((part, partIndex) => {
    for (const { url, title, start = 0, end = part!.text.length } of part?.citations ?? []) {
      if (url === undefined) continue;
      chunks.push({ web: { uri: url, ...(title !== undefined && { title }) } });
      const text = part!.text.slice(start, end);
      if (text === "") continue;
      const startIndex = byteLengthOf(part!.text.slice(0, start));
      const segment = { partIndex, startIndex, endIndex: startIndex + byteLengthOf(text), text };
      supports.push({ segment, groundingChunkIndices: [chunks.length - 1] });
    }
  });
  if (chunks.length === 0) return undefined;
  return { groundingChunks: chunks, ...(supports.length > 0 && { groundingSupports: supports }) };
}

/** Consecutive texts as one: in a stream they are one part. */
export function joinTexts(blocks: readonly Block[]): Block[] {
  const joined: Block[] = [];
  for (const block of blocks) {
    const last = joined.at(-1);
    if (block.kind === "thinking" && last?.kind === "thinking") continue;
    if (block.kind !== "text" || last?.kind !== "text") {
      joined.push(block);
      continue;
    }
    const citations = [...shiftCitations(last, 0), ...shiftCitations(block, last.text.length)];
    const logprobs = [...(last.logprobs ?? []), ...(block.logprobs ?? [])];
    joined[joined.length - 1] = {
      kind: "text",
      text: last.text + block.text,
      ...(citations.length > 0 && { citations }),
      ...(logprobs.length > 0 && { logprobs }),
    };
  }
  return joined;
}

/** A text in which a segment may count, and where it starts in the answer. */
type Scope = { text: string; base: number };
/** Characters of the answer's text. */
type Range = { start: number; end: number };

/**
 * The words of the segment at their position in one of the scopes; otherwise the same words nearest to it: some offsets
 * are wrong by a byte. Without words the position alone decides. In an incomplete text a segment behind its end
 * is not found yet.
 */
function findSegment(scopes: readonly Scope[], segment: JsonObject, isWhole: boolean): Range | undefined {
  const words = stringifyMember(segment.text);
  const from = numberOf(segment.startIndex) ?? 0;
  const to = numberOf(segment.endIndex) ?? from + byteLengthOf(words);
  for (const { text, base } of scopes) {
    const bytes = Buffer.from(text);
    if (from >= to || to > bytes.length) continue;
    const marked = bytes.subarray(from, to).toString();
    const start = base + bytes.subarray(0, from).toString().length;
    if (words === "" || marked === words) return { start, end: start + marked.length };
  }
  const { text, base } = scopes.find((scope) => scope.base > 0 && scope.text.includes(words)) ?? scopes.at(-1)!;
  if (words === "" || (!isWhole && to > byteLengthOf(text))) return undefined;
  const start = findNearest(text, words, from);
  return start === undefined ? undefined : { start: base + start, end: base + start + words.length };
}

/** The occurrence of `words` that is nearest to an offset in bytes. */
function findNearest(text: string, words: string, offset: number): number | undefined {
  let nearest: { at: number; distance: number } | undefined;
  for (let at = text.indexOf(words); at >= 0; at = text.indexOf(words, at + 1)) {
    const distance = Math.abs(byteLengthOf(text.slice(0, at)) - offset);
    if (nearest === undefined || distance < nearest.distance) nearest = { at, distance };
  }
  return nearest?.at;
}

/**
 * `{web: {uri, title}}`, or another kind of source with the same members (`retrievedContext`, `maps`).
 */
function sourceOf(chunk: Json): Citation {
  const source = isObject(chunk) ? Object.values(chunk).find(isObject) : undefined;
  return {
    ...(typeof source?.uri === "string" && { url: source.uri }),
    ...(typeof source?.title === "string" && { title: source.title }),
  };
}

/** The text of a part of the answer; "" for reasoning and everything else. */
function answerTextOf(part: Json): string {
  if (typeof part === "string") return part;
  return isObject(part) && part.thought !== true ? stringifyMember(part.text) : "";
}

const listOf = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);
/** The wire counts UTF-8 bytes. */
const byteLengthOf = (text: string): number => Buffer.byteLength(text);
