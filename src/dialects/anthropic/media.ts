import type { Item, Loss, Media, Source } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, stringOf } from "../../wire/json.ts";
import { cutText } from "../../wire/surrogates.ts";
import { listUnshared } from "../unshared-members.ts";

/** `image` and `document`. `undefined` for a document of mixed blocks, and for an unknown source. */
export function decodeMedia(item: JsonObject, own: Item): Media | undefined {
  const from = isObject(item.source) ? item.source : {};
  const source = decodeSource(from);
  if (source === undefined) return undefined;
  const fallback = item.type === "image" ? "image/*" : DOCUMENT_TYPES[source.type];
  const name = stringOf(item.title);
  const mime = stringOf(from.media_type) ?? fallback;
  return {
    kind: "media",
    mime,
    source,
    ...(name !== undefined && { name }),
    ...listUnshared(item, ["context", "citations"]),
    ...own,
  };
}

/**
 * Four types of images, PDF, and texts as text documents (Anthropic API, "Vision" and "PDF support"). Loss: all
 * others.
 */
export function encodeMedia({ mime, source, name }: Media, losses: Loss[]): JsonObject | undefined {
  const isImage = mime.startsWith("image/");
  const from = isImage ? encodeImage(mime, source) : encodeDocument(mime, source);
  if (from === undefined) {
    losses.push({ at: "media", what: "dropped", why: `anthropic does not accept ${mime} by ${source.type}` });
    return undefined;
  }
  if (isImage) return { type: "image", source: from };
  return { type: "document", source: from, ...(name !== undefined && name !== "" && { title: cutText(name, 500) }) };
}

/** Media type of a document without one, by its source. */
const DOCUMENT_TYPES = {
  base64: "application/pdf",
  url: "application/pdf",
  text: "text/plain",
  file: "application/octet-stream",
} as const;

/** Sources of the Messages API; `file` refers to an upload at the same provider. */
function decodeSource(from: JsonObject): Source | undefined {
  switch (from.type) {
    case "base64":
      return { type: "base64", data: stringifyMember(from.data) };
    case "url":
      return { type: "url", url: stringifyMember(from.url) };
    case "file":
      return { type: "file", id: stringifyMember(from.file_id) };
    case "text":
      return { type: "text", text: stringifyMember(from.data) };
    case "content":
      return decodeTexts(from.content);
    default:
      return undefined;
  }
}

/** A document of texts is one text source; one with images among them stays an opaque item. */
function decodeTexts(content: Json | undefined): Source | undefined {
  if (typeof content === "string") return { type: "text", text: content };
  if (!Array.isArray(content) || !content.every((part) => isObject(part) && part.type === "text")) return undefined;
  return { type: "text", text: content.map((part) => stringifyMember((part as JsonObject).text)).join("\n") };
}

/** The types that the API accepts as bytes. */
const IMAGE_TYPES = new Set(["image/jpeg", "image/png", "image/gif", "image/webp"]);

/** The API determines the type of a URL itself. */
function encodeImage(mime: string, source: Source): JsonObject | undefined {
  if (source.type === "url") return { type: "url", url: source.url };
  const mediaType = mime === "image/jpg" ? "image/jpeg" : mime;
  if (source.type !== "base64" || !IMAGE_TYPES.has(mediaType)) return undefined;
  return { type: "base64", media_type: mediaType, data: toStandardBase64(source.data) };
}

function encodeDocument(mime: string, source: Source): JsonObject | undefined {
  if (source.type === "text") return toTextSource(source.text);
  if (mime.startsWith("text/") && source.type === "base64")
    return toTextSource(Buffer.from(source.data, "base64").toString("utf8"));
  if (mime !== "application/pdf") return undefined;
  if (source.type === "url") return { type: "url", url: source.url };
  if (source.type !== "base64") return undefined;
  return { type: "base64", media_type: mime, data: toStandardBase64(source.data) };
}

const toTextSource = (data: string): JsonObject => ({ type: "text", media_type: "text/plain", data });

/** google-genai sends base64url; the API accepts the standard alphabet only. */
const toStandardBase64 = (data: string): string => data.replaceAll("-", "+").replaceAll("_", "/");
