import { shiftCitations, spreadCitations } from "../../canonical/citations.ts";
import type { Block, Citation, Text } from "../../canonical/types.ts";
import { isObject, type Json, numberOf, stringOf, withoutUndefined } from "../../wire/json.ts";

/**
 * `annotations` of a message; indexes are characters in its content (API reference, Chat: web search), which may be
 * several texts.
 */
export function decodeAnnotations(annotations: Json | undefined): Citation[] {
  return (Array.isArray(annotations) ? annotations : []).flatMap((annotation): Citation[] => {
    const cited = isObject(annotation) && isObject(annotation.url_citation) ? annotation.url_citation : undefined;
    if (cited === undefined) return [];
    const { url, title, start_index: start, end_index: end } = cited;
    return [
      withoutUndefined({ url: stringOf(url), title: stringOf(title), start: numberOf(start), end: numberOf(end) }),
    ];
  });
}

/** Adds the annotations of the message to the texts of its content. */
export function withAnnotations(content: readonly Block[], annotations: Json | undefined): Block[] {
  const cited = spreadCitations(content.filter(isAnswer), decodeAnnotations(annotations));
  let next = 0;
  return content.map((block) => (isAnswer(block) ? cited[next++]! : block));
}

/** `base`: where the text starts in the content of the message. All members are required. */
export const encodeAnnotations = (text: Text, base: number): Json[] => toAnnotations(shiftCitations(text, base));

/** The annotations of consecutive texts of one message. */
export function joinAnnotations(texts: readonly Text[]): Json[] {
  let base = 0;
  return texts.flatMap((text) => {
    const annotations = encodeAnnotations(text, base);
    base += text.text.length;
    return annotations;
  });
}

const toAnnotations = (citations: readonly Citation[]): Json[] =>
  citations
    .filter(({ url }) => url !== undefined)
    .map(({ url, title, start, end }) => ({
      type: "url_citation",
      url_citation: { url: url!, title: title ?? "", start_index: start!, end_index: end! },
    }));

/** Whether a block is text of the content; a refusal is a member of its own. */
export const isAnswer = (block: Block): block is Text => block.kind === "text" && !block.refusal;
