import type { Citation, Text } from "../../canonical/types.ts";
import { isObject, type Json, stringOf, withoutUndefined } from "../../wire/json.ts";

/**
 * Positions of this wire (`start_char_index`, pages, blocks) refer to the source, not to the answer: they stay
 * in the native item only.
 */
export function decodeCitations(citations: Json | undefined): { citations?: Citation[] } {
  const known = (Array.isArray(citations) ? citations : []).filter(isObject).map((cited): Citation =>
    withoutUndefined({
      text: stringOf(cited.cited_text),
      url: stringOf(cited.url) ?? urlOf(cited.source),
      title: stringOf(cited.title) ?? stringOf(cited.document_title),
    }),
  );
  return known.length > 0 ? { citations: known } : {};
}

/**
 * Citations of this wire unchanged. Those of others with a URL become `web_search_result_location`, which needs
 * no position in a document.
 */
export function encodeCitations({ citations, native }: Text): Json[] {
  if (native?.dialect === "anthropic" && isObject(native.item))
    return Array.isArray(native.item.citations) ? native.item.citations : [];
  return (citations ?? []).flatMap(({ url, title, text }): Json[] => {
    if (url === undefined) return [];
    const found = { url, title: title ?? null, cited_text: text ?? "", encrypted_index: "" };
    return [{ type: "web_search_result_location", ...found }];
  });
}

/** `source` of a search result is free text, and often a URL. */
const urlOf = (source: Json | undefined): string | undefined => {
  const text = stringOf(source);
  return text !== undefined && /^https?:/.test(text) ? text : undefined;
};
