import type { Citation, Text } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";

/**
 * `annotations` of the message; indexes are characters in its content (API reference, Chat: web search).
 */
export function decodeAnnotations(message: JsonObject): { citations?: Citation[] } {
  const annotations = Array.isArray(message.annotations) ? message.annotations : [];
  const citations = annotations.flatMap((annotation): Citation[] => {
    const cited = isObject(annotation) && isObject(annotation.url_citation) ? annotation.url_citation : undefined;
    if (cited === undefined) return [];
    const { url, title, start_index: start, end_index: end } = cited;
    return [
      {
        ...(typeof url === "string" && { url }),
        ...(typeof title === "string" && { title }),
        ...(typeof start === "number" && { start }),
        ...(typeof end === "number" && { end }),
      },
    ];
  });
  return citations.length > 0 ? { citations } : {};
}

/** All members are required. A citation without a position refers to the whole text. */
export function encodeAnnotations(text: Text): Json[] {
  return (text.citations ?? [])
    .filter(({ url }) => url !== undefined)
    .map(({ url, title, start, end }) => ({
      type: "url_citation",
      url_citation: { url: url!, title: title ?? "", start_index: start ?? 0, end_index: end ?? text.text.length },
    }));
}
