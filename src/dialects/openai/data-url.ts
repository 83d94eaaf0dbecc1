import type { Media } from "../../canonical/types.ts";

export const DATA_URL = /^data:([^;,]*)(?:;[^,]*)?;base64,/;

/** A data URL or any other. */
export function toMedia(url: string, mime: string): Media {
  const inline = DATA_URL.exec(url);
  if (inline === null) return { kind: "media", mime, source: { type: "url", url } };
  const source = { type: "base64", data: url.slice(inline[0].length) } as const;
  return { kind: "media", mime: inline[1] || mime, source };
}
