import { readNativeMessage } from "../../canonical/native.ts";
import { moveResultsToCalls } from "../../canonical/result-order.ts";
import { pairResults } from "../../canonical/tool-results.ts";
import type { Block, Loss, Message } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import type { Encoded, EncodeTarget } from "../dialect.ts";
import { addPlaceholderSignature, decodePart, encodePart, hasIdOnWire } from "./blocks.ts";
import { type DecodeContext, newDecodeContext } from "./decode-context.ts";
import { type AnsweredCall, encodeResult, fitContent, sortResults } from "./tool-results.ts";

const dialect = "gemini";

/** Results are connected with their calls by name where the wire has no ids. */
export function decodeMessages(items: readonly Json[], seal?: string): Message[] {
  const context = newDecodeContext(seal);
  return pairResults(items.map((item) => decodeMessage(item, context)));
}

/**
 * Contents that came over this wire stay as they are, but for results: ids that their calls do not have, and results of
 * one turn in several contents. Others are regrouped: consecutive messages of one side
 * are one content, because the API requires all results of a turn together, in the content behind the calls;
 * everything else of that side is in the next content. A message without any representable block still separates its
 * neighbours, so that the encoding of earlier messages does not change when a history grows.
 */
export function encodeMessages(messages: readonly Message[], target: EncodeTarget): Encoded<Json[]> {
  const losses: Loss[] = [];
  const items: Json[] = [];
  const calls = new Map<string, AnsweredCall>();
  let callCount = 0;
  let open: { role: "user" | "model" | "tool"; groups: PartGroup[] } | undefined;
  const flush = (): void => {
    const parts = open === undefined ? [] : sortResults(open.groups).flatMap((group) => group.parts);
    if (open !== undefined && parts.length > 0) items.push(toContent(open.role === "model" ? "model" : "user", parts));
    open = undefined;
  };
  const append = (role: "user" | "model" | "tool", groups: readonly PartGroup[]): void => {
    if (open?.role !== role) flush();
    open ??= { role, groups: [] };
    open.groups.push(...groups);
  };
  const isOwn = (message: Message): boolean => readNativeMessage(message, target) !== undefined;
  const ordered = moveResultsToCalls(messages, isOwn);
  for (const [i, message] of ordered.entries()) {
    for (const block of message.blocks) {
      if (block.kind !== "tool_call") continue;
      const isNative = block.native?.dialect === dialect;
      calls.set(block.id, { name: block.name, hasId: hasIdOnWire(block), isNative, index: callCount++ });
    }
    const sharesResults = hasResults(message) && (hasResults(ordered[i - 1]) || hasResults(ordered[i + 1]));
    const ownItem = sharesResults ? undefined : readNativeMessage(message, target);
    if (ownItem !== undefined) {
      flush();
      const results = message.blocks.filter((block) => block.kind === "tool_result");
      items.push(fitContent(ownItem, results, calls));
      continue;
    }
    const groups = encodeBlocks(message, calls, target, losses);
    const results = groups.filter(({ isResult }) => isResult);
    if (results.length > 0) append("tool", results);
    if (results.length < groups.length || results.length === 0)
      append(
        message.role === "assistant" ? "model" : "user",
        groups.filter(({ isResult }) => !isResult),
      );
  }
  flush();
  return { value: items, losses };
}

const hasResults = (message: Message | undefined): boolean =>
  message?.blocks.some(({ kind }) => kind === "tool_result") === true;

/** A content; a bare text is of the user. The roles of the wire are `user` and `model`. */
export function decodeMessage(item: Json, context: DecodeContext): Message {
  if (typeof item === "string") return { role: "user", blocks: [{ kind: "text", text: item }] };
  const native = { dialect, item } as const;
  if (!isObject(item)) return { role: "user", blocks: [], native };
  return { role: item.role === "model" ? "assistant" : "user", blocks: decodeParts(item, context), native };
}

/**
 * The parts of one block. `isResult`: they are a tool result. `call`: the one that they answer, if it has no id on this
 * wire.
 */
type PartGroup = { parts: Json[]; isResult?: true; call?: AnsweredCall };

/** Loss: the system role inside the conversation, which becomes the user, and names of participants. */
function encodeBlocks(
  message: Message,
  calls: ReadonlyMap<string, AnsweredCall>,
  target: EncodeTarget,
  losses: Loss[],
): PartGroup[] {
  if (message.role === "system") {
    losses.push({
      at: "messages.system",
      what: "approximated",
      why: "gemini accepts instructions at the start only",
    });
  }
  return message.blocks.map((block): PartGroup => {
    if (block.kind === "tool_result") {
      const call = calls.get(block.id);
      return {
        parts: encodeResult(block, call, target, losses),
        isResult: true,
        ...(call?.hasId === false && { call }),
      };
    }
    const part = encodePart(block, target, losses);
    return { parts: part === undefined ? [] : [part] };
  });
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
