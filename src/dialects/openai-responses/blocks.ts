import { verbatim } from "../../canonical/native.ts";
import type { Block, Citation, Loss, Media, Opaque, Part, Text } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, stringOf } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { decodeCacheMark, withCacheMark } from "../openai/cache.ts";
import { DATA_URL, toMedia } from "../openai/data-url.ts";
import { decodeLogprobs } from "../openai/logprobs.ts";

const dialect = "openai-responses";

/**
 * The author determines the part types of a message: `output_text` for the model, `input_…` for everyone else.
 */
type ItemRole = "model" | "client";

/** `content` of a message or `output` of a tool: a string, a list of parts, or nothing. */
export function decodeContent(content: Json | undefined): Part[] {
  if (typeof content === "string") return content === "" ? [] : [{ kind: "text", text: content }];
  return Array.isArray(content) ? content.map(decodePart) : [];
}

/** A list of parts; blocks that are no parts of a message are omitted. */
export function encodeContent(
  blocks: readonly Block[],
  author: ItemRole,
  target: EncodeTarget,
  losses: Loss[],
): Json[] {
  return blocks.flatMap((block) => encodePart(block, author, target, losses) ?? []);
}

/**
 * Parts of messages, of reasoning (`summary_text`, `reasoning_text`) and of tool outputs. Files by bytes or by
 * URL have no media type in the wire and count as PDF.
 */
export function decodePart(item: Json): Part {
  const native = { dialect, item } as const;
  if (!isObject(item)) return { kind: "opaque", label: UNKNOWN_PART, native };
  const own = { native, ...decodeCacheMark(item) };
  switch (item.type) {
    case "input_text":
    case "text":
    case "summary_text":
    case "reasoning_text":
      return { kind: "text", text: stringifyMember(item.text), ...own };
    case "output_text":
      return {
        kind: "text",
        text: stringifyMember(item.text),
        ...own,
        ...decodeAnnotations(item.annotations),
        ...(Array.isArray(item.logprobs) && item.logprobs.length > 0 && { logprobs: decodeLogprobs(item.logprobs) }),
      };
    case "refusal":
      return { kind: "text", text: stringifyMember(item.refusal), refusal: true, ...own };
    case "input_image": {
      if (typeof item.file_id === "string") return { ...toFileMedia(item.file_id, "image/*"), ...own };
      const url = isObject(item.image_url) ? item.image_url.url : item.image_url;
      return { ...toMedia(stringifyMember(url), "image/*"), ...own };
    }
    case "input_file": {
      const name = typeof item.filename === "string" ? { name: item.filename } : {};
      if (typeof item.file_data === "string") return { ...toInlineMedia(item.file_data), ...name, ...own };
      if (typeof item.file_url === "string") return { ...toMedia(item.file_url, "application/pdf"), ...name, ...own };
      return { ...toFileMedia(stringifyMember(item.file_id), "application/octet-stream"), ...name, ...own };
    }
    case "input_audio": {
      const audio = isObject(item.input_audio) ? item.input_audio : {};
      const source = { type: "base64", data: stringifyMember(audio.data) } as const;
      return { kind: "media", mime: `audio/${stringifyMember(audio.format) || "wav"}`, source, ...own };
    }
    default:
      return { kind: "opaque", label: UNKNOWN_PART, ...own };
  }
}

/** `undefined` if the wire has no such part. A loss is recorded where content is dropped. */
export function encodePart(block: Block, author: ItemRole, target: EncodeTarget, losses: Loss[]): Json | undefined {
  switch (block.kind) {
    case "text":
      return verbatim(block.native, target) ?? markCache(encodeText(block, author), block, author, target);
    case "media":
      return verbatim(block.native, target) ?? markCache(encodeMedia(block, author, losses), block, author, target);
    case "opaque": {
      const ownItem = block.label === UNKNOWN_PART ? verbatim(block.native, target) : undefined;
      if (ownItem !== undefined) return ownItem;
      losses.push({ at: block.label, what: "dropped", why: `${dialect} has no such item` });
      return block.gist === undefined ? undefined : encodeText({ kind: "text", text: block.gist }, author);
    }
    case "thinking":
    case "tool_call":
    case "tool_result":
      return undefined;
  }
}

/** Only input can have a cache breakpoint. */
const markCache = (part: JsonObject | undefined, block: Block, author: ItemRole, { model }: EncodeTarget) =>
  part === undefined || author === "model" ? part : withCacheMark(part, block, model);

/**
 * Label of an opaque part. An opaque item has its type as the label, and the two must not be confused.
 */
export const UNKNOWN_PART = "part";

/**
 * The readable content of an item of a hosted tool (code, queries, results), for a reader without the tool.
 */
export function fallbackTextOf(item: JsonObject): Pick<Opaque, "gist"> {
  const action = isObject(item.action) ? item.action : {};
  const sources = [item.code, action.query, item.queries, action.commands, item.output, item.outputs, item.results];
  const text = [...sources, typeof item.error === "string" ? item.error : undefined]
    .map(readText)
    .filter((text) => text !== "")
    .join("\n");
  return text === "" ? {} : { gist: text };
}

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

/** `file_data` is a data URL in the specification; some clients send bare base64. */
const toInlineMedia = (data: string): Media =>
  DATA_URL.test(data)
    ? toMedia(data, "application/pdf")
    : { kind: "media", mime: "application/pdf", source: { type: "base64", data } };

const toFileMedia = (id: string, mime: string): Media => ({ kind: "media", mime, source: { type: "file", id } });

/** A refusal is a part of its own in output and plain text in input. */
function encodeText(text: Text, author: ItemRole): JsonObject {
  if (author === "client") return { type: "input_text", text: text.text };
  return text.refusal ? { type: "refusal", refusal: text.text } : { type: "output_text", text: text.text };
}

/**
 * Images and documents of a client. Loss: audio, video, and media of the model, for which the wire has no part.
 */
function encodeMedia({ mime, source, name, native }: Media, author: ItemRole, losses: Loss[]): JsonObject | undefined {
  if (source.type === "text") return encodeText({ kind: "text", text: source.text }, author);
  const isImage = mime.startsWith("image/");
  const isDocument = !isImage && !mime.startsWith("audio/") && !mime.startsWith("video/");
  if (author === "client" && source.type === "file" && native?.dialect === "openai-chat") {
    // Files of OpenAI have the same ids in both wires; ids of other providers are unknown here.
    return { type: isImage ? "input_image" : "input_file", file_id: source.id };
  }
  if (author === "client" && source.type !== "file") {
    const url = source.type === "url" ? source.url : `data:${mime};base64,${source.data}`;
    if (isImage) return { type: "input_image", image_url: url, detail: "auto" };
    if (isDocument && source.type === "url") return { type: "input_file", file_url: url };
    if (isDocument) return { type: "input_file", filename: name ?? "document.pdf", file_data: url };
  }
  losses.push({
    at: "media",
    what: "dropped",
    why: `${dialect} cannot take ${mime} by ${source.type} from the ${author}`,
  });
  return undefined;
}

/** Concatenates texts at any depth: plain, in lists, in outputs and results of tools. */
function readText(value: Json | undefined): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(readText).filter(Boolean).join("\n");
  if (!isObject(value)) return "";
  return [value.text, value.logs, value.stdout, value.stderr].map(readText).filter(Boolean).join("\n");
}
