import type { Loss, Media, Source } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, lookUp } from "../../wire/json.ts";
import { listUnshared } from "../unshared-members.ts";
import { readMember, withSnakeCase } from "./casing.ts";

/** `inlineData` or `fileData` of a part; `undefined` for any other part. */
export function decodeMedia(item: JsonObject): Media | undefined {
  const inline = readMember(item, "inlineData");
  const file = readMember(item, "fileData");
  const data = isObject(inline) ? inline : file;
  if (!isObject(data)) return undefined;
  const source: Source = isObject(inline)
    ? { type: "base64", data: toStandardBase64(stringifyMember(inline.data)) }
    : { type: "url", url: stringifyMember(readMember(data, "fileUri")) };
  return { kind: "media", mime: mimeOf(data), source, ...listUnshared(item, UNSHARED) };
}

/** How a model looks at it (Gemini API, Part). */
const UNSHARED = Object.keys(withSnakeCase({ mediaResolution: true, videoMetadata: true }));

/**
 * Both members need a media type. URLs that are not of Google are fetched by Vertex and by Gemini 3 only. Loss:
 * files that are stored at another provider.
 */
export function encodeMedia({ mime, source }: Media, losses: Loss[]): Json | undefined {
  switch (source.type) {
    case "base64":
      return { inlineData: { mimeType: toConcreteType(mime), data: source.data } };
    case "url":
      return { fileData: { fileUri: source.url, mimeType: toConcreteType(mime, source.url) } };
    case "text":
      return source.text === "" ? undefined : { text: source.text };
    case "file":
      losses.push({ at: "media", what: "dropped", why: "the file is stored at another provider" });
      return undefined;
  }
}

const mimeOf = (data: JsonObject): string => stringifyMember(readMember(data, "mimeType")) || UNKNOWN;

/** google-genai sends base64url; every other wire has the standard alphabet. */
const toStandardBase64 = (data: string): string =>
  /[-_]/.test(data) ? data.replaceAll("-", "+").replaceAll("_", "/") : data;

/** Media type of a part without one. */
const UNKNOWN = "application/octet-stream";

/**
 * The API refuses types such as `image/*`: the extension of the URL determines the type, or the most common of
 * its kind.
 */
function toConcreteType(mime: string, url = ""): string {
  if (mime !== UNKNOWN && !mime.endsWith("/*")) return mime;
  const extension = /\.([a-z0-9]{2,5})(?:[?#].*)?$/i.exec(url)?.[1]?.toLowerCase() ?? "";
  return lookUp(TYPE_BY_EXTENSION, extension) ?? lookUp(DEFAULT_TYPES, mime) ?? mime;
}

/** Media types of usual file extensions. */
const TYPE_BY_EXTENSION: Record<string, string> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
  heic: "image/heic",
  pdf: "application/pdf",
  txt: "text/plain",
  md: "text/markdown",
  csv: "text/csv",
  html: "text/html",
  mp3: "audio/mpeg",
  wav: "audio/wav",
  ogg: "audio/ogg",
  flac: "audio/flac",
  mp4: "video/mp4",
  webm: "video/webm",
  mov: "video/quicktime",
};
const DEFAULT_TYPES: Record<string, string> = {
  "image/*": "image/jpeg",
  "audio/*": "audio/mpeg",
  "video/*": "video/mp4",
};
