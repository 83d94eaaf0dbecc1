import type { Block, Message } from "../../canonical/types.ts";
import { isObject, type JsonObject, stringOf } from "../../wire/json.ts";
import { safeId } from "../dialect.ts";
import { encodeLogprobs } from "../openai/logprobs.ts";
import { encodeAnnotations, UNKNOWN_PART } from "./blocks.ts";

const dialect = "openai-responses";

/** An answer as output items: this wire's own are whole, others' are made anew. */
export function encodeOutput(messages: readonly Message[], responseId: string): JsonObject[] {
  const items: JsonObject[] = [];
  for (const { native, blocks } of messages) {
    if (native?.dialect === dialect && isObject(native.item)) {
      items.push(native.item);
      continue;
    }
    for (const group of groupParts(blocks.flatMap(toOutputBlocks)))
      items.push(encodeOutputItem(deriveItemId(group[0]!, responseId, items.length), group));
  }
  return items;
}

/** What stands for a block in an answer; nothing for what only another wire knows: its gist is no word of the model. */
export function toOutputBlocks(block: Block): Block[] {
  if (block.kind === "tool_result") return [];
  // Gemini hangs signatures on empty texts.
  if (block.kind === "text" && block.text === "" && nativeOf(block) === undefined) return [];
  if (block.kind === "media") return isImage(block) ? [block] : [];
  return block.kind === "opaque" && block.native.dialect !== dialect ? [] : [block];
}

/** Neighbouring texts are the parts of one message; any other block is an item of its own. */
function groupParts(blocks: readonly Block[]): Block[][] {
  const groups: Block[][] = [];
  for (const block of blocks) {
    const last = groups.at(-1);
    if (last !== undefined && continuesMessage(last[0]!, block)) last.push(block);
    else groups.push([block]);
  }
  return groups;
}

export const continuesMessage = (first: Block, next: Block): boolean => isPart(first) && isPart(next);

const isPart = (block: Block | undefined): boolean =>
  block?.kind === "text" || (block?.kind === "opaque" && block.label === UNKNOWN_PART);

/** The item that these blocks make, finished. */
export function encodeOutputItem(id: string, blocks: readonly Block[]): JsonObject {
  const [block] = blocks;
  const native = isPart(block) ? undefined : nativeOf(block);
  if (native !== undefined && hasAnnouncedType(native, block))
    return native.id === undefined ? native : { ...native, id };
  const status = "completed";
  switch (block?.kind) {
    case "thinking": {
      const summary = block.text === "" ? [] : [{ type: "summary_text", text: block.text }];
      return { id, type: "reasoning", summary };
    }
    case "tool_call": {
      const { id: call_id, name, arguments: args } = block;
      return { id, type: "function_call", status, arguments: args || "{}", call_id, name };
    }
    case "media": {
      const result = block.source.type === "base64" ? block.source.data : "";
      return { id, type: "image_generation_call", status, result };
    }
    default:
      return { id, type: "message", status, role: "assistant", content: blocks.map(encodeOutputPart) };
  }
}

/** A custom tool's call was announced as a function's: a stream's item must not change its type. */
const hasAnnouncedType = (native: JsonObject, block: Block | undefined): boolean =>
  block?.kind !== "tool_call" || native.type === "function_call";

/** The same item as it begins. */
export function encodeOpenItem(id: string, block: Block): JsonObject {
  const status = "in_progress";
  switch (block.kind) {
    case "thinking":
      return { id, type: "reasoning", summary: [] };
    case "tool_call":
      return { id, type: "function_call", status, arguments: "", call_id: block.id, name: block.name };
    case "media":
      return { id, type: "image_generation_call", status, result: null };
    case "opaque":
    case "text":
    case "tool_result": {
      const message = { id, type: "message", status, role: "assistant", content: [] };
      return isPart(block) ? message : (nativeOf(block) ?? message);
    }
  }
}

export function encodeOutputPart(block: Block): JsonObject {
  const native = nativeOf(block);
  if (native !== undefined) return native;
  if (block.kind !== "text") return { type: "output_text", text: "", annotations: [], logprobs: [] };
  if (block.refusal) return { type: "refusal", refusal: block.text };
  const logprobs = encodeLogprobs(block.logprobs ?? []);
  return { type: "output_text", text: block.text, annotations: encodeAnnotations(block), logprobs };
}

/** The same for the same place in the same answer: a stream and the whole of it name their items alike. */
export const deriveItemId = (block: Block, responseId: string, index: number): string =>
  `${PREFIX[block.kind]}_${hashOf(`${responseId} ${index}`)}`;

export const responseIdOf = (id: string): string => (id.startsWith("resp_") ? id : `resp_${hashOf(id)}`);

const PREFIX: Record<Block["kind"], string> = {
  text: "msg",
  thinking: "rs",
  tool_call: "fc",
  media: "ig",
  opaque: "it",
  tool_result: "it",
};

/** No id fits: it is always the hash. */
const hashOf = (id: string): string => safeId(id, /(?!)/);

/** What only this wire knows comes whole as it begins, its id included. */
export const ownIdOf = (block: Block): string | undefined =>
  block.kind === "opaque" && !isPart(block) ? stringOf(nativeOf(block)?.id) : undefined;

const nativeOf = (block: Block | undefined): JsonObject | undefined =>
  block?.native?.dialect === dialect && isObject(block.native.item) ? block.native.item : undefined;

const isImage = (block: Extract<Block, { kind: "media" }>): boolean =>
  block.mime.startsWith("image/") && block.source.type === "base64";
