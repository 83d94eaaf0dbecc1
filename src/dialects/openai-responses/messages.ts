import { CARRIED_SEAL, sealOf } from "../../canonical/carried.ts";
import { editItem, readNativeItem, readNativeMessage } from "../../canonical/native.ts";
import type { Block, Loss, Message, Part, Role } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";
import { type Encoded, type EncodeTarget, toSafeId } from "../dialect.ts";
import { fitToolIds } from "../tool-ids.ts";
import { authorOf, findHostedCalls } from "./authors.ts";
import * as blocks from "./blocks.ts";
import { expandSummary } from "./compaction.ts";
import { isReference, ITEM_REFERENCE } from "./references.ts";
import { isOfGateway } from "./servers/server-tools.ts";
import {
  callTypeOf,
  decodeToolCall,
  decodeToolResult,
  encodeOutput,
  encodeToolCall,
  toolIdPattern,
} from "./tool-calls.ts";

const dialect = "openai-responses";

/** One canonical message per item, so that each can be sent again with its own bytes. */
export function decodeMessages(items: readonly Json[], seal?: string): Message[] {
  const hostedCalls = findHostedCalls(items);
  return items.map((item) => decodeMessage(item, seal, hostedCalls));
}

/**
 * Encodes message by message: items that came over this wire are sent again with the same bytes. Loss: references that
 * were not resolved.
 */
export function encodeMessages(messages: readonly Message[], target: EncodeTarget): Encoded<Json[]> {
  const losses: Loss[] = [];
  const items: Json[] = [];
  // The API refuses an item that was produced with reasoning if the reasoning is absent ("… was provided
  // without its required 'reasoning' item"). It recognizes such items by id, so ids are removed where the
  // reasoning cannot be sent.
  let isOrphan = false;
  const fitted = fitToolIds(messages, target, {
    isSentVerbatim: (one) => readNativeMessage(one, target) !== undefined,
    fit: (id) => toSafeId(id, toolIdPattern(target)),
  });
  const customIds = listCustomIds(fitted);
  for (const original of fitted) {
    const message = withoutReferences(original, losses);
    if (message !== original && message.blocks.length === 0) continue;
    if (message.role !== "assistant") isOrphan = false;
    else if (lacksReasoning(message, target)) isOrphan = true;
    const ownItem = readNativeMessage(message, target);
    if (ownItem === undefined) items.push(...encodeMessage(message, { target, customIds }, losses));
    else items.push(isOrphan ? withoutId(ownItem) : toItem(ownItem));
  }
  return { value: items, losses };
}

/**
 * Decodes an item. A summary of the gateway is decoded as its message. An item without a type is a message; an
 * item of an unknown type is opaque, with its readable content as fallback text.
 */
export function decodeMessage(original: Json, seal?: string, hostedCalls?: ReadonlySet<string>): Message {
  const item = expandSummary(original);
  if (!isObject(item)) return { role: "user", blocks: [], native: { dialect, item } };
  const native = { dialect, item, ...(isOfGateway(item) ? OF_CLIENT : sealOf(item, isSealed, seal)) } as const;
  if (isReference(item))
    return { role: "assistant", blocks: [{ kind: "opaque", label: ITEM_REFERENCE, native }], native };
  switch (item.type ?? "message") {
    case "message": {
      const developer = item.role === "developer" ? { word: "developer" } : {};
      return { role: roleOf(item.role), ...developer, blocks: blocks.decodeContent(item.content), native };
    }
    case "reasoning":
      return { role: "assistant", blocks: [{ kind: "thinking", text: reasoningTextOf(item), native }], native };
    case "function_call":
    case "custom_tool_call":
      return { role: "assistant", blocks: [{ ...decodeToolCall(item), native }], native };
    case "function_call_output":
    case "custom_tool_call_output":
      return { role: "user", blocks: [{ ...decodeToolResult(item), native }], native };
    default: {
      const label = stringifyMember(item.type);
      return {
        role: authorOf(item, hostedCalls),
        blocks: [{ kind: "opaque", label, ...blocks.fallbackTextOf(item), native }],
        native,
      };
    }
  }
}

/** What only the gateway can read is not sent, and is listed as its client has sent it. */
const OF_CLIENT = { seal: CARRIED_SEAL };

/** `customIds`: ids of the calls of custom tools, whose outputs have a type of their own. */
type MessageTarget = { target: EncodeTarget; customIds: ReadonlySet<string> };

const listCustomIds = (messages: readonly Message[]): ReadonlySet<string> =>
  new Set(
    messages.flatMap(({ blocks: content }) =>
      content.flatMap((block) => (block.kind === "tool_call" && block.custom ? [block.id] : [])),
    ),
  );

/** Blocks in their order: consecutive texts and media are one message item, every other block is an item. */
function encodeMessage(message: Message, to: MessageTarget, losses: Loss[]): Json[] {
  const { target } = to;
  const author = message.role === "assistant" ? "model" : "client";
  const role = message.role === "system" && message.word === "developer" ? "developer" : message.role;
  const items: Json[] = [];
  let parts: Part[] = [];
  const flush = (): void => {
    const content = blocks.encodeContent(parts, author, target, losses);
    const isForeign = parts.every(({ native }) => readNativeItem(native, target) === undefined);
    const encoded = author === "model" && isForeign ? joinAsText(parts, content, losses) : content;
    if (encoded.length > 0) items.push({ type: "message", role, content: encoded });
    parts = [];
  };
  for (const block of message.blocks) {
    const ownItem = isItem(block) ? readNativeItem(block.native, target) : undefined;
    if (ownItem === undefined && (block.kind === "text" || block.kind === "media" || block.kind === "opaque")) {
      parts.push(block);
      continue;
    }
    flush();
    items.push(...(ownItem === undefined ? encodeBlock(block, to, losses) : [ownItem]));
  }
  flush();
  return items;
}

/**
 * The specification has a text for assistant messages that the API did not produce; output parts belong to its
 * own items. Loss: citations.
 */
function joinAsText(parts: readonly Part[], content: readonly Json[], losses: Loss[]): string {
  if (parts.some((part) => part.kind === "text" && part.citations !== undefined))
    losses.push({ at: "citations", what: "dropped", why: `${dialect} accepts only its own citations` });
  return content.map((part) => (isObject(part) ? stringifyMember(part.text ?? part.refusal) : "")).join("");
}

/**
 * Loss: reasoning of another provider. It cannot be verified, and it is not the answer of the assistant.
 */
function encodeBlock(block: Block, { target, customIds }: MessageTarget, losses: Loss[]): Json[] {
  switch (block.kind) {
    case "thinking":
      if (block.text !== "" || block.native !== undefined)
        losses.push({ at: "thinking", what: "dropped", why: "reasoning of another provider" });
      return [];
    case "tool_call": {
      return [{ type: callTypeOf(block), call_id: block.id, ...encodeToolCall(block) }];
    }
    case "tool_result": {
      if (block.isError)
        losses.push({
          at: "tool_result.is_error",
          what: "approximated",
          why: `${dialect} represents errors as text only`,
        });
      const output = encodeOutput(block.content, target, losses);
      const type = customIds.has(block.id) ? "custom_tool_call_output" : "function_call_output";
      return [{ type, call_id: block.id, output }];
    }
    case "text":
    case "media":
    case "opaque":
      return [];
  }
}

/** Summaries, then the reasoning itself where a host shows it; parts are separated as paragraphs. */
function reasoningTextOf(item: JsonObject): string {
  return [item.summary, item.content]
    .flatMap((parts) => (Array.isArray(parts) ? parts : [parts]))
    .map((part) => stringifyMember(isObject(part) ? part.text : part))
    .filter((text) => text !== "")
    .join(PARAGRAPH);
}

/** Separator of reasoning parts, in whole items and in streams alike. */
export const PARAGRAPH = "\n\n";

/** `developer` is the name of the system role for reasoning models. */
function roleOf(role: Json | undefined): Role {
  if (role === "assistant") return "assistant";
  return role === "system" || role === "developer" ? "system" : "user";
}

/**
 * Encrypted content can be opened by the organization that received it, and under the same item id. Reasoning
 * items without it refer to items stored for that organization.
 */
const isSealed = (item: Json): boolean =>
  isObject(item) && (typeof item.encrypted_content === "string" || item.type === "reasoning");

/** The message without references to other items; the message itself if it has none. */
function withoutReferences(message: Message, losses: Loss[]): Message {
  const rest = message.blocks.filter((block) => !isReferenceBlock(block));
  if (rest.length === message.blocks.length) return message;
  losses.push({ at: ITEM_REFERENCE, what: "dropped", why: "all tenants share the provider's store" });
  return editItem(message, { blocks: rest });
}

const isReferenceBlock = (block: Block): boolean =>
  block.kind === "opaque" && isItem(block) && block.native.dialect === dialect && isReference(block.native.item);

/** Blocks that are items of this wire, not parts of a message. */
const isItem = (block: Block): boolean =>
  block.kind === "opaque" ? block.label !== blocks.UNKNOWN_PART : block.kind !== "text" && block.kind !== "media";

/**
 * The message had reasoning that cannot be sent: it is sealed by another issuer, or was already removed.
 */
function lacksReasoning({ blocks: content, native }: Message, target: EncodeTarget): boolean {
  if (content.length === 0) return native === undefined;
  return content.some((block) => block.kind === "thinking" && readNativeItem(block.native, target) === undefined);
}

/**
 * A string `input` and `instructions` are members of the body if they are first. Anywhere else they must be
 * items.
 */
function toItem(ownItem: Json): Json {
  if (typeof ownItem === "string") return { role: "user", content: ownItem };
  return isObject(ownItem) && ownItem.type === undefined && typeof ownItem.instructions === "string"
    ? { role: "system", content: ownItem.instructions }
    : ownItem;
}

/** Applies only to types that do not need their id. */
function withoutId(ownItem: Json): Json {
  if (!isObject(ownItem) || !TYPES_WITHOUT_ID.has(stringifyMember(ownItem.type ?? "message"))) return ownItem;
  const { id: _, ...item } = ownItem;
  return item;
}

/** Items of hosted tools are not among them: the API requires their ids. */
const TYPES_WITHOUT_ID = new Set(["message", "function_call", "custom_tool_call"]);
