import type { Media } from "../../canonical/types.ts";

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
