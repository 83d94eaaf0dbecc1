import type { Block, Dialect, Item, Native, Part, Role, Text, ToolCall, ToolResult } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, withoutUndefined } from "../../wire/json.ts";
import { decodeCitations, encodeCitation } from "./citations.ts";
import { decodeLogprobs, encodeLogprob } from "./logprobs.ts";
import { decodeMedia, encodeMedia } from "./media.ts";

const dialect = "native";

/** Role by block type; every other type belongs to the user. */
export const ROLE_BY_TYPE: Record<string, Role> = {
  system: "system",
  response: "assistant",
  thinking: "assistant",
  tool_call: "assistant",
};

/** Block type by role, for texts, media and opaque items. */
const TYPE_BY_ROLE: Record<Role, string> = { system: "system", user: "input", assistant: "response" };

/**
 * Decodes a block of the wire (docs/native.md). A bare text is a text; a block of an unknown type, or without
 * content, is opaque. `native` inside a block restores the provider's item that the block is a view of.
 */
export function decodeBlock(item: Json): Block {
  const unknown = { dialect, item } as const;
  if (typeof item === "string") return { kind: "text", text: item };
  if (!isObject(item)) return { kind: "opaque", label: "block", native: unknown };
  const carried = decodeNative(item.native);
  const own: Item = { ...(carried && { native: carried }), ...cacheOf(item) };
  switch (item.type) {
    case "system":
    case "input":
    case "response":
      return decodeRoleBlock(item, own) ?? { kind: "opaque", label: stringifyMember(item.type), native: unknown };
    case "thinking":
      return { kind: "thinking", text: stringifyMember(item.text), ...own };
    case "tool_call":
      return { ...decodeToolCall(item), ...own };
    case "tool_result":
      return { ...decodeToolResult(item), ...own };
    default:
      return { kind: "opaque", label: stringifyMember(item.type) || "block", native: unknown };
  }
}

/** The only form of a block in the API: in answers, in the head of a session, in its timeline. */
export function encodeBlock(block: Block, role: Role): JsonObject {
  const extras = {
    ...(needsNative(block) && { native: encodeNative(block.native) }),
    ...(block.cache && { cache: block.cache }),
  };
  switch (block.kind) {
    case "text":
      return { type: TYPE_BY_ROLE[role], ...encodeText(block), ...extras };
    case "media":
      return { type: TYPE_BY_ROLE[role], media: encodeMedia(block), ...extras };
    case "thinking":
      return { type: "thinking", text: block.text, ...extras };
    case "tool_call":
      return {
        type: "tool_call",
        id: block.id,
        name: block.name,
        arguments: block.arguments,
        ...(block.namespace !== undefined && { namespace: block.namespace }),
        ...(block.custom && { custom: true }),
        ...extras,
      };
    case "tool_result":
      return {
        type: "tool_result",
        id: block.id,
        ...(block.name !== undefined && { name: block.name }),
        content: encodeContent(block.content, role),
        ...(block.isError && { is_error: true }),
        ...extras,
      };
    case "opaque": {
      const { label, gist, native } = block;
      if (native.dialect === dialect && isObject(native.item)) return native.item;
      return {
        type: TYPE_BY_ROLE[role],
        opaque: withoutUndefined({ label, gist }),
        native: encodeNative(native),
        ...extras,
      };
    }
  }
}

/** Text, media, or an opaque item with its native; `undefined` for anything else. */
function decodeRoleBlock(item: JsonObject, own: Item): Part | undefined {
  if (isObject(item.media)) return { ...decodeMedia(item.media), ...own };
  if (isObject(item.opaque) && own.native !== undefined) {
    const { label, gist } = item.opaque;
    const fallback = typeof gist === "string" ? { gist } : {};
    return { kind: "opaque", label: stringifyMember(label) || "item", ...fallback, ...own, native: own.native };
  }
  if (typeof item.text !== "string") return undefined;
  const citations = decodeCitations(item.citations);
  const logprobs = decodeLogprobs(item.logprobs);
  return {
    kind: "text",
    text: item.text,
    ...(citations.length > 0 && { citations }),
    ...(item.refusal === true && { refusal: true as const }),
    ...(logprobs.length > 0 && { logprobs }),
    ...own,
  };
}

const decodeToolCall = ({ id, name, arguments: args, namespace, custom }: JsonObject): ToolCall => ({
  kind: "tool_call",
  id: stringifyMember(id),
  name: stringifyMember(name),
  arguments: stringifyMember(args),
  ...(typeof namespace === "string" && { namespace }),
  ...(custom === true && { custom }),
});

const decodeToolResult = ({ id, name, content, is_error: isError }: JsonObject): ToolResult => ({
  kind: "tool_result",
  id: stringifyMember(id),
  ...(typeof name === "string" && { name }),
  content: decodeContent(content),
  ...(isError === true && { isError }),
});

/** Inverse of the text case of `decodeRoleBlock`; absent members stay absent. */
function encodeText({ text, citations, refusal, logprobs }: Text): JsonObject {
  return {
    text,
    ...(citations && { citations: citations.map(encodeCitation) }),
    ...(refusal && { refusal }),
    ...(logprobs && { logprobs: logprobs.map(encodeLogprob) }),
  };
}

/** Content of a tool result: a text, or a list of parts. Blocks that are no parts become opaque. */
function decodeContent(content: Json | undefined): Part[] {
  if (typeof content === "string") return content === "" ? [] : [{ kind: "text", text: content }];
  return (Array.isArray(content) ? content : []).map((item): Part => {
    const part = decodeBlock(item);
    const isPart = part.kind === "text" || part.kind === "media" || part.kind === "opaque";
    return isPart ? part : { kind: "opaque", label: part.kind, native: { dialect, item } };
  });
}

/** One text without other members is a string; everything else is a list. */
function encodeContent(content: readonly Part[], role: Role): Json {
  const parts = content.map((part) => encodeBlock(part, role));
  const [first] = parts;
  if (first === undefined) return "";
  const isPlain = parts.length === 1 && typeof first.text === "string" && Object.keys(first).length === 2;
  return isPlain ? first.text! : parts;
}

/**
 * The item of the provider is part of a block only where the canonical members cannot replace it: reasoning,
 * sealed items, citations that their provider expects back, and opaque items.
 */
const needsNative = (block: Block): block is Block & { native: Native } =>
  block.native !== undefined &&
  block.native.dialect !== dialect &&
  (block.native.seal !== undefined ||
    block.kind === "thinking" ||
    (block.kind === "text" && block.citations !== undefined));

/** Dialects that an item can come from; the native wire has no provider. */
const PROVIDER_DIALECTS = new Set<Json>(["openai-chat", "openai-responses", "anthropic", "gemini"] satisfies Dialect[]);

/**
 * `{dialect, item, issuer}`; `issuer` is the only one that can open the item. `undefined` if it is no such
 * object.
 */
export function decodeNative(native: Json | undefined): Native | undefined {
  if (!isObject(native) || !PROVIDER_DIALECTS.has(native.dialect!) || native.item === undefined) return undefined;
  const { dialect, item, issuer } = native;
  return { dialect: dialect as Dialect, item, ...(typeof issuer === "string" && { seal: issuer }) };
}

export const encodeNative = ({ dialect, item, seal }: Native): JsonObject => ({
  dialect,
  ...(seal !== undefined && { issuer: seal }),
  item,
});

const cacheOf = ({ cache }: JsonObject): { cache?: "5m" | "1h" } => (cache === "5m" || cache === "1h" ? { cache } : {});
