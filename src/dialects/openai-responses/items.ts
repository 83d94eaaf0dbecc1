import type { Block, Message } from "../../canonical/types.ts";
import { deriveItemId } from "../../wire/id.ts";
import { isObject, type JsonObject, stringOf } from "../../wire/json.ts";
import { toSafeId } from "../dialect.ts";
import { encodeLogprobs } from "../openai/logprobs.ts";
import { UNKNOWN_PART } from "./blocks.ts";
import { encodeAnnotations } from "./citations.ts";
import { toOpenServerItem } from "./servers/server-events.ts";
import { callTypeOf, encodeOpenCall, encodeToolCall } from "./tool-calls.ts";

const dialect = "openai-responses";

/** An answer as output items: items of this wire unchanged, all others built from their blocks. */
export const encodeOutput = (messages: readonly Message[], responseId: string): JsonObject[] =>
  pairOutput(messages, responseId).map(({ item }) => item);

/**
 * The same, each item with the message from which it was built: its blocks have the items of their own wire. `from`: how many items
 * the response has in front of these. `isHidden`: whether a block is left out.
 */
export function pairOutput(
  messages: readonly Message[],
  responseId: string,
  { from = 0, isHidden = () => false }: { from?: number; isHidden?: (block: Block) => boolean } = {},
): { item: JsonObject; message: Message }[] {
  const pairs: { item: JsonObject; message: Message }[] = [];
  for (const message of messages) {
    const { native } = message;
    const shown = message.blocks.filter((block) => !isHidden(block));
    if (shown.length === 0 && message.blocks.length > 0) continue;
    const item = native?.dialect === dialect && isObject(native.item) ? native.item : undefined;
    if (item !== undefined && message.blocks.every((block) => isSameCall(item, block))) {
      pairs.push({ item, message });
      continue;
    }
    for (const blocks of groupParts(shown.flatMap(toOutputBlocks))) {
      const id = ownIdOf(blocks[0]!) ?? itemIdFor(blocks[0]!, responseId, from + pairs.length);
      const item = encodeOutputItem(id, blocks);
      pairs.push({ item, message: { role: "assistant", blocks } });
    }
  }
  return pairs;
}

/**
 * The blocks that have an output item. The fallback text of an opaque block of another dialect is not sent: it
 * is not text of the model.
 */
export function toOutputBlocks(block: Block): Block[] {
  if (block.kind === "tool_result") return [];
  // Gemini attaches signatures to empty texts.
  if (block.kind === "text" && block.text === "" && nativeOf(block) === undefined) return [];
  if (block.kind === "media") return isImage(block) ? [block] : [];
  return block.kind === "opaque" && block.native.dialect !== dialect ? [] : [block];
}

/** Consecutive texts are the parts of one message; every other block is an item. */
function groupParts(blocks: readonly Block[]): Block[][] {
  const groups: Block[][] = [];
  for (const block of blocks) {
    const last = groups.at(-1);
    if (last !== undefined && continuesMessage(last[0]!, block)) last.push(block);
    else groups.push([block]);
  }
  return groups;
}

/** Whether `next` is a further part of the item that started with `first`. */
export const continuesMessage = (first: Block, next: Block): boolean => isPart(first) && isPart(next);

const isPart = (block: Block | undefined): boolean =>
  block?.kind === "text" || (block?.kind === "opaque" && block.label === UNKNOWN_PART);

/** The completed item for these blocks. */
export function encodeOutputItem(id: string, blocks: readonly Block[]): JsonObject {
  const [block] = blocks;
  const native = isPart(block) ? undefined : nativeOf(block);
  if (native !== undefined && isSameCall(native, block)) return native.id === undefined ? native : { ...native, id };
  const status = "completed";
  switch (block?.kind) {
    case "thinking": {
      const summary = block.text === "" ? [] : [{ type: "summary_text", text: block.text }];
      return { id, type: "reasoning", summary };
    }
    case "tool_call": {
      return { id, type: callTypeOf(block), status, call_id: block.id, ...encodeToolCall(block) };
    }
    case "media": {
      const result = block.source.type === "base64" ? block.source.data : "";
      return { id, type: "image_generation_call", status, result };
    }
    default:
      return { id, type: "message", status, role: "assistant", content: blocks.map(encodeOutputPart) };
  }
}

/**
 * Whether the item of a call has its type and name: the client knows the tool by those of the block, and a stream has
 * announced them.
 */
const isSameCall = (native: JsonObject, block: Block | undefined): boolean =>
  block?.kind !== "tool_call" || (native.type === callTypeOf(block) && native.name === block.name);

/** The same item as it is announced by `response.output_item.added`, without content. */
export function encodeOpenItem(id: string, block: Block): JsonObject {
  const status = "in_progress";
  switch (block.kind) {
    case "thinking":
      return { id, type: "reasoning", summary: [] };
    case "tool_call":
      return { id, type: callTypeOf(block), status, call_id: block.id, ...encodeOpenCall(block) };
    case "media":
      return { id, type: "image_generation_call", status, result: null };
    case "opaque":
    case "text":
    case "tool_result": {
      const message = { id, type: "message", status, role: "assistant", content: [] };
      const item = nativeOf(block);
      return isPart(block) || item === undefined ? message : toOpenServerItem(item);
    }
  }
}

/** A part of an output message, with all members that the specification requires. */
export function encodeOutputPart(block: Block): JsonObject {
  const native = nativeOf(block);
  if (native !== undefined) return native;
  if (block.kind !== "text") return { type: "output_text", text: "", annotations: [], logprobs: [] };
  if (block.refusal) return { type: "refusal", refusal: block.text };
  const logprobs = encodeLogprobs(block.logprobs ?? []);
  return { type: "output_text", text: block.text, annotations: encodeAnnotations(block), logprobs };
}

/** Depends on the response and the position only: a stream and a whole response have the same ids. */
export const itemIdFor = (block: Block, responseId: string, index: number): string =>
  deriveItemId(block.kind === "tool_call" && block.custom ? "ctc" : PREFIX[block.kind], responseId, `${index}`);

/**
 * Ids of responses have the prefix `resp_` (API reference, "The response object"); any other id is hashed.
 */
export const responseIdOf = (id: string): string => (id.startsWith("resp_") ? id : `resp_${hashOf(id)}`);

/** Prefixes of item ids: those of OpenAI where it has the type. */
const PREFIX: Record<Block["kind"], string> = {
  text: "msg",
  thinking: "rs",
  tool_call: "fc",
  media: "ig",
  opaque: "it",
  tool_result: "it",
};

/** Matches no id, so the result is always the hash. */
const hashOf = (id: string): string => toSafeId(id, /(?!)/);

/** The id of an opaque item of this wire: it is announced whole, its id included. */
export const ownIdOf = (block: Block): string | undefined =>
  block.kind === "opaque" && !isPart(block) ? stringOf(nativeOf(block)?.id) : undefined;

const nativeOf = (block: Block | undefined): JsonObject | undefined =>
  block?.native?.dialect === dialect && isObject(block.native.item) ? block.native.item : undefined;

const isImage = (block: Extract<Block, { kind: "media" }>): boolean =>
  block.mime.startsWith("image/") && block.source.type === "base64";
