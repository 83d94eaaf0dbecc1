import type { Loss, Media } from "../../canonical/types.ts";
import type { JsonObject } from "../../wire/json.ts";
import { DATA_URL, toMedia } from "../openai/data-url.ts";
import { encodeText, type ItemRole } from "./text.ts";

const dialect = "openai-responses";

/** `file_data` is a data URL in the specification; some clients send bare base64. */
export const toInlineMedia = (data: string): Media =>
  DATA_URL.test(data)
    ? toMedia(data, "application/pdf")
    : { kind: "media", mime: "application/pdf", source: { type: "base64", data } };

/** A file that was uploaded to OpenAI, by its id. */
export const toFileMedia = (id: string, mime: string): Media => ({ kind: "media", mime, source: { type: "file", id } });

/**
 * Images and documents of a client. Loss: audio, video, and media of the model, for which the wire has no part.
 */
export function encodeMedia(media: Media, author: ItemRole, losses: Loss[]): JsonObject | undefined {
  const { mime, source } = media;
  if (source.type === "text") return encodeText({ kind: "text", text: source.text }, author);
  const part = author === "client" ? encodeClientMedia(media, source) : undefined;
  if (part === undefined)
    losses.push({
      at: "media",
      what: "dropped",
      why: `${dialect} does not accept ${mime} by ${source.type} from the ${author}`,
    });
  return part;
}

/** `undefined` for audio and video; only files of OpenAI have any type. */
function encodeClientMedia(
  { mime, name, detail, native }: Media,
  source: Exclude<Media["source"], { type: "text" }>,
): JsonObject | undefined {
  const isImage = mime.startsWith("image/");
  const member = detail === undefined ? {} : { detail };
  if (source.type === "file") {
    // Files of OpenAI have the same ids in both wires; ids of other providers are unknown here.
    if (native?.dialect !== "openai-chat") return undefined;
    return { type: isImage ? "input_image" : "input_file", file_id: source.id, ...member };
  }
  const url = source.type === "url" ? source.url : `data:${mime};base64,${source.data}`;
  if (isImage) return { type: "input_image", image_url: url, detail: detail ?? "auto" };
  if (mime.startsWith("audio/") || mime.startsWith("video/")) return undefined;
  if (source.type === "url") return { type: "input_file", file_url: url, ...member };
  return { type: "input_file", filename: name ?? "document.pdf", file_data: url, ...member };
}
