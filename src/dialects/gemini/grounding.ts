import type { Block, Citation, Text } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";

/**
 * Adds citations to the texts that contain them. Supports have byte offsets in a part, which differ from those
 * of a stream's chunks, and the text of the segment: that text is searched.
 */
export function withCitations(blocks: readonly Block[], grounding: Json | undefined): Block[] {
  if (!isObject(grounding)) return [...blocks];
  const sources = listOf(grounding.groundingChunks).map(sourceOf);
  const supports = listOf(grounding.groundingSupports).filter(isObject);
  return blocks.map((block) => {
    if (block.kind !== "text" || block.text === "") return block;
    const citations = supports.flatMap((support) => findCitations(block.text, support, sources));
    return citations.length > 0 ? { ...block, citations } : block;
  });
}

/** Inverse of `withCitations`, for answers of other providers; `undefined` if nothing is cited. */
export function encodeGrounding(texts: readonly Text[]): JsonObject | undefined {
  const chunks: Json[] = [];
  const supports: Json[] = [];
  for (const { text, citations = [] } of texts) {
    for (const { url, title, start, end, text: cited } of citations) {
      if (url === undefined) continue;
      chunks.push({ web: { uri: url, ...(title !== undefined && { title }) } });
      const quote = start === undefined || end === undefined ? cited : text.slice(start, end);
      if (quote === undefined || quote === "") continue;
      const startIndex = byteLengthOf(text.slice(0, start ?? Math.max(0, text.indexOf(quote))));
      const segment = { startIndex, endIndex: startIndex + byteLengthOf(quote), text: quote };
      supports.push({ segment, groundingChunkIndices: [chunks.length - 1] });
    }
  }
  if (chunks.length === 0) return undefined;
  return { groundingChunks: chunks, ...(supports.length > 0 && { groundingSupports: supports }) };
}

/** `start` and `end` are characters of the block, which is what canonical citations count. */
function findCitations(text: string, support: JsonObject, sources: readonly Citation[]): Citation[] {
  const quote = isObject(support.segment) ? stringifyMember(support.segment.text) : "";
  const start = quote === "" ? -1 : text.indexOf(quote);
  if (start < 0) return [];
  return listOf(support.groundingChunkIndices).flatMap((index) => {
    const source = sources[typeof index === "number" ? index : -1];
    return source === undefined ? [] : [{ ...source, text: quote, start, end: start + quote.length }];
  });
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

const listOf = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);
/** The wire counts UTF-8 bytes. */
const byteLengthOf = (text: string): number => Buffer.byteLength(text);
