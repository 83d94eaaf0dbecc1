import { readNativeItem, readNativeMessage } from "../../canonical/native.ts";
import { pairResults } from "../../canonical/tool-results.ts";
import type { Block, Loss, Message, ToolCall } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import type { Encoded, EncodeTarget } from "../dialect.ts";
import { addPlaceholderSignature, decodePart, encodePart } from "./blocks.ts";
import { readMember } from "./casing.ts";
import { type DecodeContext, idOf, newDecodeContext } from "./decode-context.ts";
import { type AnsweredCall, encodeResult } from "./tool-results.ts";

const dialect = "gemini";

/** Results are connected with their calls by name where the wire has no ids. */
export function decodeMessages(items: readonly Json[], seal?: string): Message[] {
  const context = newDecodeContext(seal);
  return pairResults(items.map((item) => decodeMessage(item, context)));
}

/**
 * Contents that came over this wire stay as they are. Others are regrouped: consecutive messages of one side
 * are one content, because the API requires all results of a turn together. A message without any representable
 * block still separates its neighbours, so that the encoding of earlier messages does not change when a history
 * grows.
 */
export function encodeMessages(messages: readonly Message[], target: EncodeTarget): Encoded<Json[]> {
  const losses: Loss[] = [];
  const items: Json[] = [];
  const calls = new Map<string, AnsweredCall>();
  let open: { role: "user" | "model"; parts: Json[] } | undefined;
  const flush = (): void => {
    if (open !== undefined && open.parts.length > 0) items.push(toContent(open.role, open.parts));
    open = undefined;
  };
  for (const message of messages) {
    for (const block of message.blocks) {
      if (block.kind === "tool_call") calls.set(block.id, { name: block.name, hasId: hasIdOnWire(block, target) });
    }
    const ownItem = readNativeMessage(message, target);
    if (ownItem !== undefined) {
      flush();
      items.push(ownItem);
      continue;
    }
    const role = message.role === "assistant" ? "model" : "user";
    if (open?.role !== role) flush();
    open ??= { role, parts: [] };
    open.parts.push(...encodeBlocks(message, calls, target, losses));
  }
  flush();
  return { value: items, losses };
}

/** A content; a bare text is of the user. The roles of the wire are `user` and `model`. */
export function decodeMessage(item: Json, context: DecodeContext): Message {
  if (typeof item === "string") return { role: "user", blocks: [{ kind: "text", text: item }] };
  const native = { dialect, item } as const;
  if (!isObject(item)) return { role: "user", blocks: [], native };
  return { role: item.role === "model" ? "assistant" : "user", blocks: decodeParts(item, context), native };
}

/** Loss: the system role inside the conversation, which becomes the user, and names of participants. */
function encodeBlocks(
  message: Message,
  calls: ReadonlyMap<string, AnsweredCall>,
  target: EncodeTarget,
  losses: Loss[],
): Json[] {
  if (message.role === "system") {
    losses.push({
      at: "messages.system",
      what: "approximated",
      why: "gemini accepts instructions at the start only",
    });
  }
  if (message.name !== undefined) {
    losses.push({ at: "messages.name", what: "dropped", why: "gemini does not support names of participants" });
  }
  return message.blocks.flatMap((block) =>
    block.kind === "tool_result"
      ? encodeResult(block, calls.get(block.id), target, losses)
      : (encodePart(block, target, losses) ?? []),
  );
}

/** `parts` is a list; some clients send one part without it. */
function decodeParts(content: JsonObject, context: DecodeContext): Block[] {
  const parts = Array.isArray(content.parts) ? content.parts : content.parts === undefined ? [] : [content.parts];
  return parts.flatMap((part) => decodePart(part, context) ?? []);
}

/** `systemInstruction`: a content, a part, a text, or a list of them. */
export function decodeInstructions(content: Json | undefined): Message[] {
  if (content === undefined || content === null) return [];
  const native = { dialect, item: content } as const;
  const blocks: Block[] = isObject(content)
    ? decodeParts(content, newDecodeContext(undefined))
    : [content].flat().flatMap((part) => decodePart(part, newDecodeContext(undefined)) ?? []);
  return [{ role: "system", blocks, native }];
}

/**
 * Leading system messages as one content, with the bytes of the caller if there is only one. Loss: everything
 * but text.
 */
export function encodeInstructions(
  messages: readonly Message[],
  target: EncodeTarget,
  losses: Loss[],
): Json | undefined {
  const [first, ...more] = messages;
  if (first === undefined) return undefined;
  const ownItem = more.length === 0 ? readNativeMessage(first, target) : undefined;
  if (ownItem !== undefined) return ownItem;
  const parts = messages
    .flatMap(({ blocks }) => blocks)
    .flatMap((block) => {
      if (block.kind === "text") return encodePart(block, target, losses) ?? [];
      losses.push({ at: `system.${block.kind}`, what: "dropped", why: "gemini's instructions are text only" });
      return [];
    });
  return parts.length > 0 ? { parts } : undefined;
}

/** Signatures belong to contents of the model only. */
const toContent = (role: "user" | "model", parts: Json[]): JsonObject => ({
  role,
  parts: role === "model" ? addPlaceholderSignature(parts) : parts,
});

/** Whether the call is encoded with an id: always, unless it came over this wire without one. */
function hasIdOnWire(call: ToolCall, target: EncodeTarget): boolean {
  const ownItem = readNativeItem(call.native, target);
  const own = isObject(ownItem) ? readMember(ownItem, "functionCall") : undefined;
  return !isObject(own) || idOf(own) !== undefined;
}
