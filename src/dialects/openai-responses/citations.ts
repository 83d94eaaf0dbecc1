import type { Citation, Text } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, stringOf } from "../../wire/json.ts";

/**
 * `url_citation` and `file_citation`; file paths and container files have no canonical form and stay native.
 */
export function decodeAnnotations(annotations: Json | undefined): { citations?: Citation[] } {
  const citations = (Array.isArray(annotations) ? annotations : []).flatMap((cited): Citation[] => {
    if (!isObject(cited) || (cited.type !== "url_citation" && cited.type !== "file_citation")) return [];
    const { url, start_index: start, end_index: end } = cited;
    const title = stringOf(cited.title) ?? stringOf(cited.filename);
    return [
      {
        ...(typeof url === "string" && { url }),
        ...(title !== undefined && { title }),
        ...(typeof start === "number" && { start }),
        ...(typeof end === "number" && { end }),
      },
    ];
  });
  return citations.length > 0 ? { citations } : {};
}

/** All members are required. A citation without a position refers to the whole text. */
export function encodeAnnotations({ citations = [], text }: Text): Json[] {
  return citations
    .filter(({ url }) => url !== undefined)
    .map(({ url, title, start, end }) => ({
      type: "url_citation",
      url: url!,
      title: title ?? "",
      start_index: start ?? 0,
      end_index: end ?? text.length,
    }));
}

/**
 * A finished message item with further citations of one of its parts. `added`: their annotations; `first`: the index of the
 * first of them in the part.
 */
export function annotatePart(
  item: JsonObject,
  contentIndex: number,
  citations: Citation[],
): { cited: JsonObject; first: number; added: Json[] } {
  const content = Array.isArray(item.content) ? item.content : [];
  const part = content[contentIndex];
  if (!isObject(part) || part.type !== "output_text") return { cited: item, first: 0, added: [] };
  const before = Array.isArray(part.annotations) ? part.annotations : [];
  const added = encodeAnnotations({ kind: "text", text: stringifyMember(part.text), citations });
  const cited = { ...item, content: content.with(contentIndex, { ...part, annotations: [...before, ...added] }) };
  return { cited, first: before.length, added };
}
