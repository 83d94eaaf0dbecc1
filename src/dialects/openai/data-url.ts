import type { Media } from "../../canonical/types.ts";
import { isObject, type Json, stringifyMember } from "../../wire/json.ts";

/** `data:<type>;base64,` (RFC 2397), parameters of the type skipped; the first group is the type. */
export const DATA_URL = /^data:([^;,]*)(?:;[^,]*)?;base64,/;

/**
 * Media from a URL member: the bytes of a data URL, otherwise the reference. `mime`: the type if the URL has
 * none.
 */
export function toMedia(url: string, mime: string): Media {
  const inline = DATA_URL.exec(url);
  if (inline === null) return { kind: "media", mime, source: { type: "url", url } };
  const source = { type: "base64", data: url.slice(inline[0].length) } as const;
  return { kind: "media", mime: inline[1] || mime, source };
}

/** How closely the model looks at an image or a file. */
export const detailOf = (item: Json | undefined): Pick<Media, "detail"> =>
  isObject(item) && typeof item.detail === "string" ? { detail: item.detail } : {};

/** Audio from a member `input_audio`, `{data, format}`: the bytes in base64, WAV if the format is absent. */
export function toAudio(audio: Json | undefined): Media {
  const { data, format } = isObject(audio) ? audio : {};
  const source = { type: "base64", data: stringifyMember(data) } as const;
  return { kind: "media", mime: `audio/${stringifyMember(format) || "wav"}`, source };
}
