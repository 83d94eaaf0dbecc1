import { readNativeItem } from "../../canonical/native.ts";
import type { Block, Loss, Opaque, Part } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { decodeCacheMark, withCacheMark } from "../openai/cache.ts";
import { toMedia } from "../openai/data-url.ts";
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
