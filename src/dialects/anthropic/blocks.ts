import { sealOf } from "../../canonical/carried.ts";
import { readNativeItem } from "../../canonical/native.ts";
import type { Block, Item, Loss, Native, Part, Text, ToolCall, ToolResult } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { decodeCitations } from "./citations.ts";
import { fallbackTextOf } from "./fallback-text.ts";
import { decodeMedia, encodeMedia } from "./media.ts";
import { isSealed } from "./seal.ts";

const dialect = "anthropic";

/** `content`: a string or a list of blocks. */
export function decodeContent(content: Json | undefined, seal?: string): Block[] {
  if (typeof content === "string") return content === "" ? [] : [{ kind: "text", text: content }];
  return Array.isArray(content) ? content.map((item) => decodeBlock(item, seal)) : [];
}

/** The blocks that this wire can represent. Empty texts are omitted, because the API refuses them. */
export const encodeContent = (blocks: readonly Block[], target: EncodeTarget, losses: Loss[]): Json[] =>
  blocks.flatMap((block) => encodeBlock(block, target, losses) ?? []);

/**
 * Content blocks of the Messages API. `redacted_thinking` is thinking without text. Server tools and unknown
 * types are opaque. `seal` applies to sealed items only (`seal.ts`).
 */
export function decodeBlock(item: Json, seal?: string): Block {
  const native: Native = { dialect, item, ...sealOf(item, isSealed, seal) };
  if (!isObject(item)) return { kind: "opaque", label: "block", native };
  const own = { native, ...cacheOf(item) };
  switch (item.type) {
    case "text":
      return { kind: "text", text: stringifyMember(item.text), ...decodeCitations(item.citations), ...own };
    case "thinking":
      return { kind: "thinking", text: stringifyMember(item.thinking), ...own };
    case "redacted_thinking":
      return { kind: "thinking", text: "", ...own };
    case "image":
    case "document":
      return decodeMedia(item, own) ?? toOpaque(item, own);
    case "tool_use":
      return decodeToolCall(item, own);
    case "tool_result":
      return decodeResult(item, own);
    default:
      return toOpaque(item, own);
  }
}

/** `undefined` if the wire has no such block. A loss is recorded where content is dropped. */
function encodeBlock(block: Block, target: EncodeTarget, losses: Loss[]): Json | undefined {
  if (block.kind === "text" && block.text === "") return undefined;
  const ownItem = readNativeItem(block.native, target);
  if (isObject(ownItem) && ownItem.type !== undefined) return ownItem;
  switch (block.kind) {
    case "text":
      return encodeText(block, losses);
    case "thinking":
      // It is not the answer of the assistant, and the API refuses signatures of other issuers.
      losses.push({ at: "thinking", what: "dropped", why: "reasoning of another provider" });
      return undefined;
    case "media":
      return withCache(encodeMedia(block, losses), block);
    case "tool_call":
      return encodeToolCall(block, losses);
    case "tool_result":
      return encodeResult(block, target, losses);
    case "opaque":
      losses.push({
        at: block.label,
        what: "dropped",
        why: "anthropic does not support it, or it was signed by another provider",
      });
      return block.gist === undefined ? undefined : { type: "text", text: block.gist };
  }
}

/** Loss: citations, because the API accepts only its own. */
function encodeText(block: Text, losses: Loss[]): JsonObject {
  if (block.citations !== undefined)
    losses.push({ at: "citations", what: "dropped", why: "anthropic accepts only its own citations" });
  return withCache({ type: "text", text: block.text }, block);
}

/** `input` is an object here; canonical arguments are JSON text. */
const decodeToolCall = (item: JsonObject, own: Item): ToolCall => ({
  kind: "tool_call",
  id: stringifyMember(item.id),
  name: stringifyMember(item.name),
  arguments: JSON.stringify(item.input ?? {}),
  ...own,
});

/** Loss: arguments that are no JSON object. */
function encodeToolCall(block: ToolCall, losses: Loss[]): JsonObject {
  const { id, name, arguments: args } = block;
  const input = parseInput(args);
  if (input === undefined)
    losses.push({ at: "tool_call.arguments", what: "approximated", why: "anthropic accepts a JSON object only" });
  return withCache({ type: "tool_use", id, name, input: input ?? { _raw: args } }, block);
}

/** Arguments as the object of this wire, `{}` for none; `undefined` if the text is no JSON object. */
export function parseInput(args: string): JsonObject | undefined {
  const input = args.trim() === "" ? null : tryParseJson(args);
  if (input === null) return {};
  return isObject(input) ? input : undefined;
}

/** Blocks of a result that are no parts (thinking, calls) are opaque. */
function decodeResult(item: JsonObject, own: Item): ToolResult {
  const content = decodeContent(item.content).map((block): Part =>
    block.kind === "text" || block.kind === "media" || block.kind === "opaque" ? block : toOpaque(block.native!.item),
  );
  const isError = item.is_error === true ? { isError: true as const } : {};
  return { kind: "tool_result", id: stringifyMember(item.tool_use_id), content, ...isError, ...own };
}

/** One text without other members is a string; everything else is a list. */
function encodeResult(block: ToolResult, target: EncodeTarget, losses: Loss[]): JsonObject {
  const parts = encodeContent(block.content, target, losses);
  const [only] = parts;
  const isPlain = parts.length === 1 && isObject(only) && only.type === "text" && Object.keys(only).length === 2;
  // The API refuses an error without content, and accepts a success without.
  const content = isPlain ? only.text! : parts.length > 0 ? parts : block.isError ? "error" : undefined;
  return withCache(
    {
      type: "tool_result",
      tool_use_id: block.id,
      ...(content !== undefined && { content }),
      ...(block.isError && { is_error: true }),
    },
    block,
  );
}

/**
 * `^[a-zA-Z0-9_-]+$` in the specification; hosts of this format refuse more than 64 characters (litellm#41590).
 */
export const toolIdPattern = (target: EncodeTarget): RegExp => target.quirks?.toolId ?? /^[a-zA-Z0-9_-]{1,64}$/;

/** A block that only this dialect has, with the text that a reader without it can use. */
function toOpaque(item: Json, own?: Item): Extract<Block, { kind: "opaque" }> {
  const label = (isObject(item) ? stringifyMember(item.type) : "") || "block";
  return { kind: "opaque", label, ...fallbackTextOf(item), native: { dialect, item }, ...own } as const;
}

/** `cache_control`; without a `ttl` its lifetime is five minutes (Anthropic API, "Prompt caching"). */
export function cacheOf(item: JsonObject): { cache?: "5m" | "1h" } {
  if (!isObject(item.cache_control)) return {};
  return { cache: item.cache_control.ttl === "1h" ? "1h" : "5m" };
}

/** Inverse of `cacheOf`. */
export function withCache<T extends JsonObject | undefined>(item: T, { cache }: Item): T {
  if (item === undefined || cache === undefined) return item;
  return { ...item, cache_control: cache === "1h" ? { type: "ephemeral", ttl: "1h" } : { type: "ephemeral" } };
}
