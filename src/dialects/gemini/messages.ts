import { verbatim, verbatimMessage } from "../../canonical/native.ts";
import { pairResults } from "../../canonical/tool-results.ts";
import type { Block, Loss, Message, ToolCall } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import type { Encoded, EncodeTarget } from "../dialect.ts";
import { addPlaceholderSignature, decodePart, encodePart } from "./blocks.ts";
import { readMember } from "./casing.ts";
import { type DecodeContext, idOf, newDecodeContext } from "./decode-context.ts";
import { type AnsweredCall, encodeResult } from "./tool-results.ts";

const dialect = "gemini";

export function decodeMessages(items: readonly Json[], seal?: string): Message[] {
  const context = newDecodeContext(seal);
  return pairResults(items.map((item) => decodeMessage(item, context)));
}

/**
 * Foreign messages are regrouped: what one side says in one go is one content, since all answers to a turn's calls must
 * stand together. A message of which nothing can be said still parts what stands around it: history grows at its end.
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
    const ownItem = verbatimMessage(message, target);
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

/** A content; a bare text is the user's. */
export function decodeMessage(item: Json, context: DecodeContext): Message {
  if (typeof item === "string") return { role: "user", blocks: [{ kind: "text", text: item }] };
  const native = { dialect, item } as const;
  if (!isObject(item)) return { role: "user", blocks: [], native };
  return { role: item.role === "model" ? "assistant" : "user", blocks: decodeParts(item, context), native };
}

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
      why: "gemini takes instructions at the beginning only",
    });
  }
  if (message.name !== undefined) {
    losses.push({ at: "messages.name", what: "dropped", why: "gemini has no names of participants" });
  }
  return message.blocks.flatMap((block) =>
    block.kind === "tool_result"
      ? encodeResult(block, calls.get(block.id), target, losses)
      : (encodePart(block, target, losses) ?? []),
  );
}

function decodeParts(content: JsonObject, context: DecodeContext): Block[] {
  const parts = Array.isArray(content.parts) ? content.parts : content.parts === undefined ? [] : [content.parts];
  return parts.flatMap((part) => decodePart(part, context) ?? []);
}

/** Leading system messages: one content, in the caller's own words when there is just one of them. */
export function decodeInstructions(content: Json | undefined): Message[] {
  if (content === undefined || content === null) return [];
  const native = { dialect, item: content } as const;
  const blocks: Block[] = isObject(content)
    ? decodeParts(content, newDecodeContext(undefined))
    : [content].flat().flatMap((part) => decodePart(part, newDecodeContext(undefined)) ?? []);
  return [{ role: "system", blocks, native }];
}

export function encodeInstructions(
  messages: readonly Message[],
  target: EncodeTarget,
  losses: Loss[],
): Json | undefined {
  const [first, ...more] = messages;
  if (first === undefined) return undefined;
  const ownItem = more.length === 0 ? verbatimMessage(first, target) : undefined;
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

const toContent = (role: "user" | "model", parts: Json[]): JsonObject => ({
  role,
  parts: role === "model" ? addPlaceholderSignature(parts) : parts,
});

/** Whether the call will be said with an id: always, unless it is Gemini's own and had none. */
function hasIdOnWire(call: ToolCall, target: EncodeTarget): boolean {
  const ownItem = verbatim(call.native, target);
  const own = isObject(ownItem) ? readMember(ownItem, "functionCall") : undefined;
  return !isObject(own) || idOf(own) !== undefined;
}
