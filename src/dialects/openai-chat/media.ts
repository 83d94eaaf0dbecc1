import type { Loss, Media } from "../../canonical/types.ts";
import type { JsonObject } from "../../wire/json.ts";

/**
 * Images by URL or data URL, audio and other files as bytes. Loss: everything else, such as audio by URL.
 */
export function encodeMedia({ mime, source, name, detail }: Media, losses: Loss[]): JsonObject | undefined {
  if (source.type === "text") return { type: "text", text: source.text };
  const url =
    source.type === "base64" ? `data:${mime};base64,${source.data}` : source.type === "url" ? source.url : undefined;
  if (mime.startsWith("image/") && url !== undefined)
    return { type: "image_url", image_url: { url, ...encodeDetail(detail, losses) } };
  if (mime.startsWith("audio/") && source.type === "base64") {
    const format = mime === "audio/mpeg" ? "mp3" : mime.slice("audio/".length);
    return { type: "input_audio", input_audio: { data: source.data, format } };
  }
  if (source.type === "base64" && detail !== undefined && detail !== "auto")
    losses.push({ at: "media.detail", what: "dropped", why: "openai-chat has it for images only" });
  if (source.type === "base64") return { type: "file", file: { filename: name ?? "document.pdf", file_data: url! } };
  losses.push({ at: "media", what: "dropped", why: `openai-chat does not accept ${mime} by ${source.type}` });
  return undefined;
}

/** Loss: `original`, which the wire does not have. `auto` is the default. */
function encodeDetail(detail: string | undefined, losses: Loss[]): JsonObject {
  if (detail === undefined || detail === "auto") return {};
  if (detail !== "original") return { detail };
  losses.push({ at: "media.detail", what: "approximated", why: "openai-chat has low, high and auto" });
  return { detail: "high" };
}
