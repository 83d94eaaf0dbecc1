import { readNativeItem, readNativeMessage } from "../../canonical/native.ts";
import { moveResultsToCalls } from "../../canonical/result-order.ts";
import type { Block, Loss, Message } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";
import { type Encoded, type EncodeTarget, toSafeId } from "../dialect.ts";
import { fitToolIds } from "../tool-ids.ts";
import { decodeContent, encodeContent, toolIdPattern } from "./blocks.ts";

const dialect = "anthropic";

/** One canonical message per item, so that each can be sent again with its own bytes. */
export const decodeMessages = (items: readonly Json[], seal?: string): Message[] =>
  items.map((item) => decodeMessage(item, seal));

/**
 * Messages that came over this wire stay as they are. Others are regrouped: consecutive messages of one role
 * are one message, with tool results first: the API requires all results of a turn at the start of the next user
 * message. No two calls have the same id, as the API refuses those ("`tool_use` ids must be unique").
 */
export function encodeMessages(messages: readonly Message[], target: EncodeTarget): Encoded<Json[]> {
  const losses: Loss[] = [];
  const items: Json[] = [];
  let run: { role: "user" | "assistant"; content: Json[] } | undefined;
  const flush = (): void => {
    if (run !== undefined && run.content.length > 0)
      items.push({ role: run.role, content: putResultsFirst(run.content, items.at(-1)) });
    run = undefined;
  };
  const fitted = fitToolIds(moveResultsToCalls(messages), target, {
    isSentVerbatim: (one) => verbatimItem(one, target) !== undefined,
    // A call whose id occurred before gets a new one that follows from the id and the number of occurrences.
    fit: (id, before) => toSafeId(before === 0 ? id : `${id} ${before}`, toolIdPattern(target)),
  });
  for (const message of fitted) {
    const ownItem = verbatimItem(message, target);
    if (ownItem !== undefined) {
      flush();
      items.push(ownItem);
      continue;
    }
    const role = message.role === "assistant" ? "assistant" : "user";
    if (run?.role !== role) flush();
    run ??= { role, content: [] };
    run.content.push(...encodeMessage(message, target, losses));
  }
  flush();
  return { value: items, losses };
}

/** Newer models accept `system` inside the list. Any other role is a user. */
function decodeMessage(item: Json, seal?: string): Message {
  const native = { dialect, item } as const;
  if (!isObject(item)) return { role: "user", blocks: [], native };
  const role = item.role === "assistant" || item.role === "system" ? item.role : "user";
  return { role, blocks: decodeContent(item.content, seal), native };
}

/** Loss: media of the assistant, and the system role inside the list. */
function encodeMessage(message: Message, target: EncodeTarget, losses: Loss[]): Json[] {
  // The role `system` inside the list exists for the newest models only; the others answer with 400.
  if (message.role === "system")
    losses.push({ at: "messages.system", what: "approximated", why: "sent as user text at its position" });
  if (message.role !== "assistant") return encodeContent(message.blocks, target, losses);
  const encodable = message.blocks.filter(({ kind }) => kind !== "media");
  if (encodable.length < message.blocks.length)
    losses.push({ at: "media", what: "dropped", why: "anthropic does not accept media in assistant messages" });
  return encodeContent(encodable, target, losses);
}

/**
 * `system` as the leading system message. Its native item is the member, so that it is not mistaken for an
 * item.
 */
export function decodeSystem(system: Json | undefined): Message[] {
  const blocks = withoutBillingLine(decodeContent(system));
  return blocks.length > 0 ? [{ role: "system", blocks, native: { dialect, item: { system: system! } } }] : [];
}

/**
 * Claude Code starts its system text with a line for Anthropic's billing (`x-anthropic-billing-header: …; cch=…;`). It
 * differs in each call, so that on another wire it would make every prompt cache useless. This wire sends the native item,
 * which has it.
 */
function withoutBillingLine(blocks: Block[]): Block[] {
  const [first, ...others] = blocks;
  if (first?.kind !== "text" || !first.text.startsWith(BILLING_LINE)) return blocks;
  const text = first.text.replace(/^.*(?:\r?\n)*/, "");
  return text === "" ? others : [{ ...first, text }, ...others];
}

const BILLING_LINE = "x-anthropic-billing-header:";

/** The member `system` from the leading system messages, and the messages after them. */
export function encodeSystem(
  messages: readonly Message[],
  target: EncodeTarget,
): Encoded<Json | undefined> & { rest: readonly Message[] } {
  const losses: Loss[] = [];
  const end = messages.findIndex((message) => message.role !== "system" || isListed(message, target));
  const leading = messages.slice(0, end < 0 ? messages.length : end);
  const rest = messages.slice(leading.length);
  const parts = leading.map(
    (message) => readSystemMember(message, target) ?? encodeInstructions(message, target, losses),
  );
  return { value: parts.length === 1 ? parts[0] : joinSystem(parts), losses, rest };
}

/** The member of a body of this wire, with its bytes. */
function readSystemMember(message: Message, target: EncodeTarget): Json | undefined {
  const own = readNativeItem(message.native, target);
  return isObject(own) && own.role === undefined ? own.system : undefined;
}

/**
 * One text without other members is a string, everything else a list of texts. Loss: everything but text.
 */
function encodeInstructions(message: Message, target: EncodeTarget, losses: Loss[]): Json | undefined {
  const parts = encodeContent(message.blocks, target, losses);
  const texts = parts.filter((part) => isObject(part) && part.type === "text");
  if (texts.length < parts.length)
    losses.push({ at: "system", what: "dropped", why: "anthropic accepts instructions as text only" });
  const [only] = texts;
  if (texts.length === 1 && isObject(only) && Object.keys(only).length === 2) return only.text;
  return texts.length > 0 ? texts : undefined;
}

/** Several members become one list of texts. */
function joinSystem(parts: readonly (Json | undefined)[]): Json | undefined {
  const texts = parts.flatMap((part): Json[] =>
    typeof part === "string" ? [{ type: "text", text: part }] : Array.isArray(part) ? part : [],
  );
  return texts.length > 0 ? texts : undefined;
}

/** The item of a message that came from the list of this wire; `system` is no item. */
function verbatimItem(message: Message, target: EncodeTarget): JsonObject | undefined {
  const ownItem = readNativeMessage(message, target);
  return isObject(ownItem) && ownItem.role !== undefined ? ownItem : undefined;
}

const isListed = (message: Message, target: EncodeTarget): boolean => verbatimItem(message, target) !== undefined;

/** Only white space: the API refuses such a message. */
export const hasNoContent = (content: readonly Json[]): boolean =>
  content.every((item) => isObject(item) && item.type === "text" && stringifyMember(item.text).trim() === "");

/**
 * After calls the API requires their results before all other content ("Tool use": handling results).
 */
function putResultsFirst(content: readonly Json[], before: Json | undefined): Json[] {
  if (!isObject(before) || before.role !== "assistant") return [...content];
  return [...content.filter(isResult), ...content.filter((item) => !isResult(item))];
}

const isResult = (item: Json): boolean => isObject(item) && item.type === "tool_result";
