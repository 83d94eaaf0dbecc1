import { verbatim, verbatimMessage } from "../../canonical/native.ts";
import type { Block, Loss, Message, Part, Role, ToolCall, ToolResult } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, stringOf, withoutUndefined } from "../../wire/json.ts";
import { type Encoded, type EncodeTarget, safeId } from "../dialect.ts";
import * as blocks from "./blocks.ts";
import { expandSummary } from "./compaction.ts";

const dialect = "openai-responses";

export const decodeMessages = (items: readonly Json[], seal?: string): Message[] =>
  items.map((item) => decodeMessage(item, seal));

/** One message at a time, so that what was said before is said again in the same bytes. */
export function encodeMessages(messages: readonly Message[], target: EncodeTarget): Encoded<Json[]> {
  const losses: Loss[] = [];
  const items: Json[] = [];
  // A stored item that was made with reasoning is refused without it ("… was provided without its required
  // 'reasoning' item"), and OpenAI knows it by its id: where the reasoning could not come along, ids stay behind too.
  let isOrphan = false;
  for (const message of messages) {
    if (message.role !== "assistant") isOrphan = false;
    else if (lacksReasoning(message, target)) isOrphan = true;
    const ownItem = verbatimMessage(message, target);
    if (ownItem === undefined) items.push(...encodeMessage(message, target, losses));
    else items.push(isOrphan ? withoutId(ownItem) : toItem(ownItem));
  }
  return { value: items, losses };
}

export function decodeMessage(original: Json, seal?: string): Message {
  const item = expandSummary(original);
  if (!isObject(item)) return { role: "user", blocks: [], native: { dialect, item } };
  const native = { dialect, item, ...(seal !== undefined && isSealed(item) && { seal }) } as const;
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
        role: authorOf(item),
        blocks: [{ kind: "opaque", label, ...blocks.fallbackTextOf(item), native }],
        native,
      };
    }
  }
}

/** Blocks in their order: neighbouring texts and media are one message item, anything else an item of its own. */
function encodeMessage(message: Message, target: EncodeTarget, losses: Loss[]): Json[] {
  if (message.name !== undefined) losses.push({ at: "name", what: "dropped", why: `${dialect} has no names` });
  const author = message.role === "assistant" ? "model" : "client";
  const role = message.role === "system" && message.word === "developer" ? "developer" : message.role;
  const items: Json[] = [];
  let parts: Part[] = [];
  const flush = (): void => {
    const content = blocks.encodeContent(parts, author, target, losses);
    const isForeign = parts.every(({ native }) => verbatim(native, target) === undefined);
    const encoded = author === "model" && isForeign ? joinAsText(parts, content, losses) : content;
    if (encoded.length > 0) items.push({ type: "message", role, content: encoded });
    parts = [];
  };
  for (const block of message.blocks) {
    const ownItem = isItem(block) ? verbatim(block.native, target) : undefined;
    if (ownItem === undefined && (block.kind === "text" || block.kind === "media" || block.kind === "opaque")) {
      parts.push(block);
      continue;
    }
    flush();
    items.push(...(ownItem === undefined ? encodeBlock(block, target, losses) : [ownItem]));
  }
  flush();
  return items;
}

/** Of an assistant's words that it did not make the published format takes a text; parts are its own items'. */
function joinAsText(parts: readonly Part[], content: readonly Json[], losses: Loss[]): string {
  if (parts.some((part) => part.kind === "text" && part.citations !== undefined))
    losses.push({ at: "citations", what: "dropped", why: `${dialect} takes back only citations that it made` });
  return content.map((part) => (isObject(part) ? stringifyMember(part.text ?? part.refusal) : "")).join("");
}

/** Foreign thinking is dropped: nobody could check it, and it is not the assistant's text. */
function encodeBlock(block: Block, target: EncodeTarget, losses: Loss[]): Json[] {
  switch (block.kind) {
    case "thinking":
      if (block.text !== "" || block.native !== undefined)
        losses.push({ at: "thinking", what: "dropped", why: "reasoning of another provider" });
      return [];
    case "tool_call": {
      const { name, arguments: args } = block;
      return [{ type: "function_call", call_id: encodeCallId(block, target), name, arguments: args || "{}" }];
    }
    case "tool_result": {
      if (block.isError)
        losses.push({ at: "tool_result.is_error", what: "approximated", why: `${dialect} tells an error by its text` });
      const output = encodeOutput(block.content, target, losses);
      return [{ type: "function_call_output", call_id: encodeCallId(block, target), output }];
    }
    case "text":
    case "media":
    case "opaque":
      return [];
  }
}

function decodeToolCall(item: JsonObject): ToolCall {
  const args = item.type === "custom_tool_call" ? customArguments(item.input) : stringifyMember(item.arguments);
  return { kind: "tool_call", id: stringifyMember(item.call_id), name: stringifyMember(item.name), arguments: args };
}

/** The free text of a custom tool as the arguments of a function, for wires that know functions alone. */
export const customArguments = (input: Json | undefined): string => JSON.stringify({ input: stringifyMember(input) });

function decodeToolResult(item: JsonObject): ToolResult {
  const content: Part[] =
    typeof item.output === "string" || Array.isArray(item.output)
      ? blocks.decodeContent(item.output)
      : [{ kind: "text", text: stringifyMember(item.output) }];
  return withoutUndefined({
    kind: "tool_result" as const,
    id: stringifyMember(item.call_id),
    name: stringOf(item.name),
    content,
  });
}

/** One text is a string, as every client writes it; anything else a list of parts. */
function encodeOutput(content: readonly Part[], target: EncodeTarget, losses: Loss[]): Json {
  const parts = blocks.encodeContent(content, "client", target, losses);
  const [first] = parts;
  if (first === undefined) return "";
  return parts.length === 1 && isObject(first) && first.type === "input_text" ? stringifyMember(first.text) : parts;
}

/** OpenAI refuses call ids of more than 64 characters. */
const CALL_ID = /^.{1,64}$/s;

const encodeCallId = ({ id }: ToolCall | ToolResult, target: EncodeTarget): string =>
  safeId(id, target.quirks?.toolId ?? CALL_ID);

/** Summaries first, then the reasoning itself, where a host shows it; parts stand apart as paragraphs. */
function reasoningTextOf(item: JsonObject): string {
  return [item.summary, item.content]
    .flatMap((parts) => (Array.isArray(parts) ? parts : [parts]))
    .map((part) => stringifyMember(isObject(part) ? part.text : part))
    .filter((text) => text !== "")
    .join(PARAGRAPH);
}

export const PARAGRAPH = "\n\n";

function roleOf(role: Json | undefined): Role {
  if (role === "assistant") return "assistant";
  return role === "system" || role === "developer" ? "system" : "user";
}

/** Whose turn an item belongs to that has no role: outputs are the client's, unless the provider ran the tool itself. */
function authorOf(item: JsonObject): Role {
  // What is no message instructs nobody, whatever role it names.
  if (item.role !== undefined) return item.role === "assistant" ? "assistant" : "user";
  if (item.type === "mcp_approval_response") return "user";
  const isOutput = typeof item.type === "string" && item.type.endsWith("_output");
  const isHosted = item.execution === "server" || item.type === "program_output" || typeof item.id === "string";
  return isOutput && !isHosted ? "user" : "assistant";
}

/**
 * Encrypted content opens for the organisation that made it, and under the id it was made with. Reasoning and
 * references without any stand for what that same organisation has stored.
 */
const isSealed = (item: JsonObject): boolean =>
  typeof item.encrypted_content === "string" || item.type === "reasoning" || item.type === "item_reference";

const isItem = (block: Block): boolean =>
  block.kind === "opaque" ? block.label !== blocks.UNKNOWN_PART : block.kind !== "text" && block.kind !== "media";

/** Reasoning that stood here and cannot be said: sealed by another, or already taken out. */
function lacksReasoning({ blocks: content, native }: Message, target: EncodeTarget): boolean {
  if (content.length === 0) return native === undefined;
  return content.some((block) => block.kind === "thinking" && verbatim(block.native, target) === undefined);
}

/** A string `input` and `instructions` are said in members of their own when they stand first, here as items. */
function toItem(ownItem: Json): Json {
  if (typeof ownItem === "string") return { role: "user", content: ownItem };
  return isObject(ownItem) && ownItem.type === undefined && typeof ownItem.instructions === "string"
    ? { role: "system", content: ownItem.instructions }
    : ownItem;
}

function withoutId(ownItem: Json): Json {
  if (!isObject(ownItem) || !TYPES_WITHOUT_ID.has(stringifyMember(ownItem.type ?? "message"))) return ownItem;
  const { id: _, ...item } = ownItem;
  return item;
}

/** Items that need no id; those of server tools do. */
const TYPES_WITHOUT_ID = new Set(["message", "function_call", "custom_tool_call"]);
