import { customArguments, readCustomInput } from "../../canonical/custom-tools.ts";
import { readNativeItem } from "../../canonical/native.ts";
import type { Block, Loss, Media, Part, Thinking, ToolCall } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";
import type { EncodeTarget, ReplyContext } from "../dialect.ts";
import { decodeCacheMark, withCacheMark } from "../openai/cache.ts";
import { detailOf, toAudio, toMedia } from "../openai/data-url.ts";
import { encodeMedia } from "./media.ts";

const dialect = "openai-chat";

/** `content`: a string, a list of parts, or null. */
export function decodeContent(content: Json | undefined): Block[] {
  if (typeof content === "string") return content === "" ? [] : [{ kind: "text", text: content }];
  return Array.isArray(content) ? content.map(decodePart) : [];
}

/**
 * One text without marks is a string, because some hosts accept nothing else; everything else is a list of
 * parts.
 */
export function encodeContent(blocks: readonly Block[], target: EncodeTarget, losses: Loss[]): Json {
  const parts = blocks.flatMap((block) => encodePart(block, target, losses) ?? []);
  const isPlain = parts.every((part) => isObject(part) && part.type === "text" && Object.keys(part).length === 2);
  return isPlain && parts.length <= 1 ? (((parts[0] as JsonObject | undefined)?.text as string) ?? "") : parts;
}

/**
 * Parts of the API reference (`text`, `refusal`, `image_url`, `input_audio`, `file`) and of compatible hosts:
 * `thinking` of Mistral, `video_url` of Qwen and OpenRouter. Any other part is opaque.
 */
export function decodePart(item: Json): Block {
  const native = { dialect, item } as const;
  if (!isObject(item)) return { kind: "opaque", label: "part", native };
  switch (item.type) {
    case "text":
      return { kind: "text", text: stringifyMember(item.text), native, ...cacheOf(item) };
    case "refusal":
      return { kind: "text", text: stringifyMember(item.refusal), refusal: true, native };
    case "thinking":
      return { kind: "thinking", text: joinText(item.thinking), native };
    case "image_url":
      return { ...toMedia(urlOf(item.image_url), "image/*"), ...detailOf(item.image_url), native, ...cacheOf(item) };
    case "video_url":
      return { ...toMedia(urlOf(item.video_url), "video/*"), native };
    case "input_audio":
      return { ...toAudio(item.input_audio), native, ...cacheOf(item) };
    case "file": {
      const media = decodeFile(isObject(item.file) ? item.file : {});
      return { ...media, native, ...(media.source.type !== "file" && cacheOf(item)) };
    }
    default:
      return { kind: "opaque", label: stringifyMember(item.type) || "part", native };
  }
}

/** `{url, detail}`, or the URL itself as some clients send it. */
const urlOf = (member: Json | undefined): string => stringifyMember(isObject(member) ? member.url : member);

/** A file by its bytes, of which the wire has no media type, or by its id. */
function decodeFile({ filename, file_data: data, file_id: id }: JsonObject): Media {
  const name = typeof filename === "string" ? { name: filename } : {};
  if (typeof data === "string") return { ...toMedia(data, "application/pdf"), ...name };
  const source = { type: "file", id: stringifyMember(id) } as const;
  return { kind: "media", mime: "application/octet-stream", source, ...name };
}

/**
 * `undefined` if the wire has no such part. A loss is recorded where content is dropped; calls, results and
 * reasoning are members of the message and not lost here.
 */
export function encodePart(block: Block, target: EncodeTarget, losses: Loss[]): Json | undefined {
  const ownItem = readNativeItem(block.native, target);
  if (ownItem !== undefined && (block.kind !== "thinking" || isContentPart(block, target))) return ownItem;
  switch (block.kind) {
    case "text":
      return withCacheMark({ type: "text", text: block.text }, block, target.model);
    case "media": {
      const part = encodeMedia(block, losses);
      return part === undefined ? undefined : withCacheMark(part, block, target.model);
    }
    case "opaque":
      losses.push({ at: block.label, what: "dropped", why: "openai-chat does not support this item" });
      return block.gist === undefined ? undefined : { type: "text", text: block.gist };
    case "thinking":
    case "tool_call":
    case "tool_result":
      return undefined;
  }
}

/**
 * Reasoning beside the content. OpenAI has none in Chat; DeepSeek and vLLM send `reasoning_content`, OpenRouter
 * `reasoning` and `reasoning_details`. Only `reasoning_details` can be sealed.
 */
export function decodeThinking(message: JsonObject): Thinking[] {
  for (const member of ["reasoning_content", "reasoning"] as const) {
    const text = message[member];
    if (typeof text === "string" && text !== "") {
      return [{ kind: "thinking", text, native: { dialect, item: { [member]: text } } }];
    }
  }
  const details = Array.isArray(message.reasoning_details) ? message.reasoning_details : [];
  const text = details.map((detail) => (isObject(detail) ? joinText(detail.text ?? detail.summary) : "")).join("");
  return text === "" ? [] : [{ kind: "thinking", text, native: { dialect, item: { reasoning_details: details } } }];
}

/** Mistral has its reasoning as a part of the content instead of a member of the message. */
export function isContentPart({ native }: Thinking, target: EncodeTarget): boolean {
  const ownItem = readNativeItem(native, target);
  return isObject(ownItem) && ownItem.type !== undefined;
}

/**
 * Loss: reasoning of another provider. It is not the answer of the assistant, and no host can verify it.
 */
export function encodeThinking(block: Thinking, target: EncodeTarget, losses: Loss[]): JsonObject {
  const ownItem = readNativeItem(block.native, target);
  if (isObject(ownItem)) return ownItem;
  losses.push({ at: "thinking", what: "dropped", why: "reasoning of another provider" });
  return {};
}

/**
 * `function` calls, and `custom` calls, whose text is the argument `input`. Arguments that arrive as
 * an object (some hosts) become JSON text.
 */
export function decodeToolCall(item: Json): Block {
  const native = { dialect, item } as const;
  if (isObject(item) && isObject(item.function)) {
    const { name, arguments: args } = item.function;
    const text = typeof args === "string" ? args : JSON.stringify(args ?? {});
    return { kind: "tool_call", id: stringifyMember(item.id), name: stringifyMember(name), arguments: text, native };
  }
  if (isObject(item) && isObject(item.custom)) {
    const { name, input } = item.custom;
    return {
      kind: "tool_call",
      id: stringifyMember(item.id),
      name: stringifyMember(name),
      arguments: customArguments(input),
      custom: true,
      native,
    };
  }
  return { kind: "opaque", label: "tool_call", native };
}

/** Empty arguments become `{}`: hosts parse the member, and "" is no JSON. */
export function encodeToolCall(block: ToolCall, target: EncodeTarget): JsonObject {
  const ownItem = readNativeItem(block.native, target);
  if (isObject(ownItem)) return ownItem;
  return { id: block.id, ...encodeCalledTool(block) };
}

/** The type of a call and the object of that name. */
export const encodeCalledTool = ({ name, custom, arguments: args }: ToolCall): JsonObject =>
  custom
    ? { type: "custom", custom: { name, input: readCustomInput(args) } }
    : { type: "function", function: { name, arguments: args || "{}" } };

/**
 * A call as the client can read it: clients that declare no custom tool of this name know functions only, and get the text
 * as the argument `input`.
 */
export function asDeclared(call: ToolCall, { request }: ReplyContext): ToolCall {
  const isKnown = request?.tools?.some((tool) => tool.kind === "function" && tool.custom && tool.name === call.name);
  if (!call.custom || isKnown) return call;
  const { custom: _, ...known } = call;
  return known;
}

/** OpenAI refuses ids of more than 40 characters. */
export const toolIdPattern = (target: EncodeTarget): RegExp => target.quirks?.toolId ?? /^.{1,40}$/s;

/** The content of a `tool` message. It is text; media are sent separately by `encodeResultMedia`. */
export const encodeResult = (content: readonly Part[], target: EncodeTarget, losses: Loss[]): Json =>
  encodeContent(
    content.filter((part) => !isShownToUser(part, target)),
    target,
    losses,
  );

/**
 * Media of a tool result as parts of a user message, which the model can see. Loss: the media are behind the
 * result and not in it.
 */
export function encodeResultMedia(content: readonly Part[], target: EncodeTarget, losses: Loss[]): Json[] {
  const resultMedia = content.filter((part) => isShownToUser(part, target));
  if (resultMedia.length > 0)
    losses.push({
      at: "tool_result",
      what: "approximated",
      why: "openai-chat accepts text only: media follow in a user message",
    });
  return resultMedia.flatMap((part) => encodePart(part, target, losses) ?? []);
}

/** A media part that came over this wire stays in the tool message: its host accepts it there. */
const isShownToUser = (part: Part, target: EncodeTarget): boolean =>
  part.kind === "media" && part.source.type !== "text" && readNativeItem(part.native, target) === undefined;
/**
 * `cache_control` is the mark that OpenRouter and others take over from Anthropic; the other is of OpenAI.
 */
const cacheOf = (item: JsonObject): { cache?: "5m" | "1h" } => {
  if (!isObject(item.cache_control)) return decodeCacheMark(item);
  return { cache: item.cache_control.ttl === "1h" ? "1h" : "5m" };
};

/** A text, or the list of text parts that Mistral has in a `thinking` part. */
function joinText(value: Json | undefined): string {
  if (typeof value === "string") return value;
  return Array.isArray(value) ? value.map((part) => (isObject(part) ? joinText(part.text) : "")).join("") : "";
}
