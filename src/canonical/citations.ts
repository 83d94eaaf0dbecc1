import type { Block, Citation, StreamEvent, Text } from "./types.ts";

/** Citations that arrived after their block had closed. */
export type LateCitations = NonNullable<Extract<StreamEvent, { type: "end" }>["late"]>;

/**
 * The share of one of several texts that a wire counts as one. `base`: where the text starts in the joined text, in which
 * the citations count; the result counts in the text itself. A citation across a border belongs to both sides.
 */
export function cutCitations(citations: readonly Citation[], base: number, { length }: string): Citation[] {
  return citations.flatMap((citation): Citation[] => {
    const { start, end } = citation;
    if (start === undefined || end === undefined) return [];
    const from = Math.max(start, base);
    const to = Math.min(end, base + length);
    const isInside = from < to || (start === end && start >= base && start < base + length);
    return isInside ? [{ ...citation, start: from - base, end: to - base }] : [];
  });
}

/**
 * Adds to each text its share of the citations. Those without a position in any of the texts belong to the last one, as a
 * whole.
 */
export function spreadCitations<T extends Text>(texts: readonly T[], citations: readonly Citation[]): T[] {
  if (citations.length === 0) return [...texts];
  const total = texts.reduce((sum, { text }) => sum + text.length, 0);
  const isPlaced = ({ start = -1, end = -1 }: Citation): boolean => start >= 0 && start <= end && start < total;
  const others = citations.filter((citation) => !isPlaced(citation)).map(({ start: _, end: __, ...rest }) => rest);
  let base = 0;
  return texts.map((text, i) => {
    const own = cutCitations(citations, base, text.text);
    base += text.text.length;
    return addCitations(text, i === texts.length - 1 ? [...own, ...others] : own);
  });
}

/**
 * The inverse: the citations of a text as they count in the joined text. One without a position marks the whole text.
 */
export const shiftCitations = ({ citations = [], text }: Text, base: number): Citation[] =>
  citations.map((cited) => ({ ...cited, start: base + (cited.start ?? 0), end: base + (cited.end ?? text.length) }));

/** The text with further citations. */
export const addCitations = <T extends Text>(text: T, more: readonly Citation[]): T =>
  more.length === 0 ? text : { ...text, citations: [...(text.citations ?? []), ...more] };

/** Adds citations that arrived late to the texts of a stream, by their index. */
export function addLate(blocks: (Block | undefined)[], late: LateCitations = []): void {
  for (const { index, citations } of late) {
    const block = blocks[index];
    if (block?.kind === "text") blocks[index] = addCitations(block, citations);
  }
}

/** The citations that `emitted` does not contain. */
export function findNew(citations: readonly Citation[], emitted: readonly Citation[] = []): Citation[] {
  const known = new Set(emitted.map((citation) => JSON.stringify(citation)));
  return citations.filter((citation) => !known.has(JSON.stringify(citation)));
}
