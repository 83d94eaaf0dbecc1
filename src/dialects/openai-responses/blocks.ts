import { readNativeItem } from "../../canonical/native.ts";
import type { Block, Loss, Media, Opaque, Part } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { decodeCacheMark, withCacheMark } from "../openai/cache.ts";
import { detailOf, toAudio, toMedia } from "../openai/data-url.ts";
import { decodeLogprobs } from "../openai/logprobs.ts";
import { decodeAnnotations } from "./citations.ts";
import { encodeMedia, toFileMedia, toInlineMedia } from "./media.ts";
import { encodeText, type ItemRole } from "./text.ts";

const dialect = "openai-responses";

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

/** Parts of messages, of reasoning (`summary_text`, `reasoning_text`) and of tool outputs. */
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
    case "input_image":
      return { ...decodeImage(item), ...detailOf(item), ...own };
    case "input_file":
      return {
        ...decodeFile(item),
        ...detailOf(item),
        ...(typeof item.filename === "string" && { name: item.filename }),
        ...own,
      };
    case "input_audio":
      return { ...toAudio(item.input_audio), ...own };
    default:
      return { kind: "opaque", label: UNKNOWN_PART, ...own };
  }
}

/** The URL is a text in the specification, and an object as in Chat from some clients. */
function decodeImage({ file_id: id, image_url: image }: JsonObject): Media {
  if (typeof id === "string") return toFileMedia(id, "image/*");
  return toMedia(stringifyMember(isObject(image) ? image.url : image), "image/*");
}

/** Files by bytes or by URL have no media type in the wire and count as PDF. */
function decodeFile({ file_data: data, file_url: url, file_id: id }: JsonObject): Media {
  if (typeof data === "string") return toInlineMedia(data);
  if (typeof url === "string") return toMedia(url, "application/pdf");
  return toFileMedia(stringifyMember(id), "application/octet-stream");
}

/** `undefined` if the wire has no such part. A loss is recorded where content is dropped. */
export function encodePart(block: Block, author: ItemRole, target: EncodeTarget, losses: Loss[]): Json | undefined {
  switch (block.kind) {
    case "text":
      return readNativeItem(block.native, target) ?? markCache(encodeText(block, author), block, author, target);
    case "media":
      return (
        readNativeItem(block.native, target) ?? markCache(encodeMedia(block, author, losses), block, author, target)
      );
    case "opaque": {
      const ownItem = block.label === UNKNOWN_PART ? readNativeItem(block.native, target) : undefined;
      if (ownItem !== undefined) return ownItem;
      losses.push({ at: block.label, what: "dropped", why: `${dialect} does not support this item` });
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

/** Concatenates texts at any depth: plain, in lists, in outputs and results of tools. */
function readText(value: Json | undefined): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(readText).filter(Boolean).join("\n");
  if (!isObject(value)) return "";
  return [value.text, value.logs, value.stdout, value.stderr].map(readText).filter(Boolean).join("\n");
}
