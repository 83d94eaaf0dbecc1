import type { Media, Source } from "../../canonical/types.ts";
import { isObject, type JsonObject, stringifyMember, withoutUndefined } from "../../wire/json.ts";

/** `{mime, source, name, detail}`, with a source by bytes, URL, file id or text. */
export function decodeMedia(media: JsonObject): Media {
  const { mime, source, name, detail } = media;
  return {
    kind: "media",
    mime: stringifyMember(mime),
    source: decodeSource(isObject(source) ? source : {}),
    ...(typeof name === "string" && { name }),
    ...(typeof detail === "string" && { detail }),
  };
}

/** Inverse of `decodeMedia`; a source has the same form in both. */
export const encodeMedia = ({ mime, source, name, detail }: Media): JsonObject =>
  withoutUndefined({ mime, source, name, detail });

/** An unknown source counts as bytes. */
function decodeSource({ type, data, url, id, text }: JsonObject): Source {
  if (type === "url") return { type, url: stringifyMember(url) };
  if (type === "file") return { type, id: stringifyMember(id) };
  return type === "text" ? { type, text: stringifyMember(text) } : { type: "base64", data: stringifyMember(data) };
}
