import { editItem, readNativeMessage } from "../../canonical/native.ts";
import { moveResultsToCalls } from "../../canonical/result-order.ts";
import type { Block, Loss, Message, Part, Thinking, ToolCall, ToolResult } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";
import { type Encoded, type EncodeTarget, toSafeId } from "../dialect.ts";
import { fitToolIds } from "../tool-ids.ts";
import * as blocks from "./blocks.ts";
import { withAnnotations } from "./citations.ts";

const dialect = "openai-chat";

/** One canonical message per item, so that each can be sent again with its own bytes. */
export const decodeMessages = (items: readonly Json[], seal?: string): Message[] =>
  items.map((item) => decodeMessage(item, seal));

/**
 * Messages that came over this wire stay as they are. Others are regrouped: consecutive assistant messages are
 * one message, each tool result is a message. The API requires the results directly behind their calls, so
 * everything between them follows, and media of results wait for the last result and follow in a user message.
 */
export function encodeMessages(messages: readonly Message[], target: EncodeTarget): Encoded<Json[]> {
  const losses: Loss[] = [];
  const items: Json[] = [];
  let assistant: Message | undefined;
  // Media of results that are not yet sent.
  let resultMedia: Json[] = [];
  const flush = (): void => {
    if (assistant !== undefined) items.push(...encodeAssistant(assistant, target, losses));
    assistant = undefined;
  };
  const flushMedia = (): void => {
    if (resultMedia.length > 0) items.push({ role: "user", content: resultMedia });
    resultMedia = [];
  };
  const isOwn = (message: Message): boolean => readNativeMessage(message, target) !== undefined;
  const fitted = fitToolIds(moveResultsToCalls(messages, isOwn), target, {
    isSentVerbatim: isOwn,
    fit: (id) => toSafeId(id, blocks.toolIdPattern(target)),
  });
  for (const message of fitted) {
    const ownItem = readNativeMessage(message, target);
    const results = message.blocks.filter((block): block is ToolResult => block.kind === "tool_result");
    if (results.length === 0) flushMedia();
    if (ownItem === undefined && message.role === "assistant") {
      assistant =
        assistant === undefined ? message : editItem(assistant, { blocks: [...assistant.blocks, ...message.blocks] });
      continue;
    }
    flush();
    if (ownItem !== undefined) {
      items.push(ownItem);
      continue;
    }
    items.push(...results.map((result) => encodeToolMessage(result, target, losses)));
    resultMedia.push(...results.flatMap(({ content }) => blocks.encodeResultMedia(content, target, losses)));
    const rest = message.blocks.filter((block) => block.kind !== "tool_result");
    const other = encodeMessage({ ...message, blocks: rest }, target, losses);
    if (other.length > 0) flushMedia();
    items.push(...other);
  }
  flush();
  flushMedia();
  return { value: items, losses };
}

/**
 * `developer` is a system message with another name, `function` the predecessor of `tool`. An unknown role is a
 * user. `seal` applies to messages with sealed members only.
 */
export function decodeMessage(item: Json, seal?: string): Message {
  if (!isObject(item)) return { role: "user", blocks: [], native: { dialect, item } };
  const native = { dialect, item, ...(seal !== undefined && isSealed(item) && { seal }) } as const;
  const name = typeof item.name === "string" ? { name: item.name } : {};
  switch (item.role) {
    case "system":
      return { role: "system", blocks: blocks.decodeContent(item.content), ...name, native };
    case "developer":
      return { role: "system", word: "developer", blocks: blocks.decodeContent(item.content), ...name, native };
    case "assistant":
      return { role: "assistant", blocks: decodeAssistant(item), ...name, native };
    case "tool":
      return { role: "user", blocks: [decodeResult(item, item.tool_call_id)], native };
    case "function":
      return { role: "user", blocks: [{ ...decodeResult(item, item.name), ...name }], native };
    default:
      return { role: "user", blocks: blocks.decodeContent(item.content), ...name, native };
  }
}

/**
 * System and user messages. Messages without any content the wire can represent are omitted: hosts refuse empty
 * ones.
 */
function encodeMessage(message: Message, target: EncodeTarget, losses: Loss[]): Json[] {
  const name = message.name === undefined ? {} : { name: message.name };
  if (message.role === "system") {
    const role = message.word === "developer" && target.quirks?.developerRole ? "developer" : "system";
    const content = blocks.encodeContent(message.blocks, target, losses);
    return content === "" ? [] : [{ role, content, ...name }];
  }
  const content = blocks.encodeContent(message.blocks, target, losses);
  return content === "" ? [] : [{ role: "user", content, ...name }];
}

/** `tool` message; the wire has no member for an error, which is recognizable by its text only. */
function encodeToolMessage({ id, content, isError }: ToolResult, target: EncodeTarget, losses: Loss[]): Json {
  if (isError)
    losses.push({ at: "tool_result.is_error", what: "approximated", why: `${dialect} represents errors as text only` });
  return { role: "tool", tool_call_id: id, content: blocks.encodeResult(content, target, losses) };
}

/**
 * Blocks in the order reasoning, content, refusal, calls: the wire does not have their real order. Audio is opaque, with the transcript as its readable text.
 */
function decodeAssistant(item: JsonObject): Block[] {
  const content = withAnnotations(blocks.decodeContent(item.content), item.annotations);
  const refusal = typeof item.refusal === "string" && item.refusal !== "" ? item.refusal : undefined;
  const calls = Array.isArray(item.tool_calls) ? item.tool_calls.map(blocks.decodeToolCall) : [];
  return [
    ...blocks.decodeThinking(item),
    ...content,
    ...(refusal === undefined ? [] : [{ kind: "text", text: refusal, refusal: true } as const]),
    ...calls,
    ...decodeFunctionCall(item.function_call),
    ...(isObject(item.audio) && stringifyMember(item.audio.id) !== "" ? [decodeAudio(item.audio)] : []),
  ];
}

/** The predecessor of `tool_calls` has no id. Its result has the name instead, so the name is the id. */
export function decodeFunctionCall(call: Json | undefined): Block[] {
  const name = isObject(call) ? stringifyMember(call.name) : "";
  return name === "" ? [] : [blocks.decodeToolCall({ id: name, type: "function", function: call! })];
}

/**
 * One message, or none if nothing is left. `content` is null beside calls, as the API itself returns it.
 */
function encodeAssistant(message: Message, target: EncodeTarget, losses: Loss[]): Json[] {
  const thinking = message.blocks.filter(
    (block): block is Thinking => block.kind === "thinking" && !blocks.isContentPart(block, target),
  );
  const calls = message.blocks.filter((block): block is ToolCall => block.kind === "tool_call");
  const contentBlocks = message.blocks.filter(
    (block) =>
      block.kind !== "tool_call" &&
      block.kind !== "tool_result" &&
      (block.kind !== "thinking" || blocks.isContentPart(block, target)),
  );
  const reasoning = thinking.map((block) => blocks.encodeThinking(block, target, losses)).reduce(mergeReasoning, {});
  const content = joinTexts(blocks.encodeContent(contentBlocks, target, losses));
  if (content === "" && calls.length === 0 && Object.keys(reasoning).length === 0) return [];
  const toolCalls = calls.map((call) => blocks.encodeToolCall(call, target));
  return [
    {
      role: "assistant",
      content: content === "" && calls.length > 0 ? null : content,
      ...reasoning,
      ...(toolCalls.length > 0 && { tool_calls: toolCalls }),
    },
  ];
}

/**
 * The result of a `tool` message, or of a `function` message, where the name of the function is the id.
 */
function decodeResult(item: JsonObject, id: Json | undefined): ToolResult {
  const content = blocks.decodeContent(item.content) as Part[];
  return { kind: "tool_result", id: stringifyMember(id), content };
}

/** Audio of an assistant can only be referred to by its id, and only at OpenAI. */
function decodeAudio(audio: JsonObject): Block {
  const fallback = typeof audio.transcript === "string" ? { gist: audio.transcript } : {};
  return { kind: "opaque", label: "audio", ...fallback, native: { dialect, item: { audio } } };
}

/** Merges the reasoning members of messages that are sent as one: texts and lists are concatenated. */
function mergeReasoning(before: JsonObject, more: JsonObject): JsonObject {
  const members = Object.entries(more).map(([member, value]) => {
    const known = before[member];
    if (typeof known === "string" && typeof value === "string") return [member, known + value];
    return [member, Array.isArray(known) && Array.isArray(value) ? [...known, ...value] : value];
  });
  return { ...before, ...(Object.fromEntries(members) as JsonObject) };
}

/** A list of plain texts of an assistant becomes one text: many hosts accept no list in this role. */
function joinTexts(content: Json): Json {
  if (!Array.isArray(content)) return content;
  const isText = content.every((part) => isObject(part) && part.type === "text");
  return isText ? content.map((part) => (part as JsonObject).text as string).join("") : content;
}

/**
 * Signatures and encrypted reasoning, as OpenRouter (`reasoning_details`), the compatible endpoint of Gemini
 * (`extra_content`) and others add them to a message.
 */
function isSealed(item: JsonObject): boolean {
  const details = Array.isArray(item.reasoning_details) ? item.reasoning_details : [];
  const calls = Array.isArray(item.tool_calls) ? item.tool_calls : [];
  return (
    details.some((detail) => isObject(detail) && (detail.signature !== undefined || detail.data !== undefined)) ||
    calls.some((call) => isObject(call) && call.extra_content !== undefined) ||
    item.reasoning_encrypted !== undefined ||
    item.extra_content !== undefined
  );
}
