import type { Citation, Text } from "../../canonical/types.ts";
import { isObject, type Json, stringOf, withoutUndefined } from "../../wire/json.ts";

/** Places in the sources (`start_char_index`, pages, blocks) are no places in the answer: those stay in the native. */
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

/** Its own are said again. Of others those with an address fit, as search results without a place in the answer. */
export function encodeCitations({ citations, native }: Text): Json[] {
  if (native?.dialect === "anthropic" && isObject(native.item))
    return Array.isArray(native.item.citations) ? native.item.citations : [];
  return (citations ?? []).flatMap(({ url, title, text }): Json[] => {
    if (url === undefined) return [];
    const found = { url, title: title ?? null, cited_text: text ?? "", encrypted_index: "" };
    return [{ type: "web_search_result_location", ...found }];
  });
}

const urlOf = (source: Json | undefined): string | undefined => {
  const text = stringOf(source);
  return text !== undefined && /^https?:/.test(text) ? text : undefined;
};
