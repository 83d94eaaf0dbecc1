import { verbatim, verbatimMessage } from "../../canonical/native.ts";
import type { Loss, Message } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";
import type { Encoded, EncodeTarget } from "../dialect.ts";
import { decodeContent, encodeContent } from "./blocks.ts";
import { uniqueToolIds } from "./tool-ids.ts";

const dialect = "anthropic";

export const decodeMessages = (items: readonly Json[], seal?: string): Message[] =>
  items.map((item) => decodeMessage(item, seal));

/** Foreign messages are regrouped: neighbours of one role are one message, tool results first in it. */
export function encodeMessages(messages: readonly Message[], target: EncodeTarget): Encoded<Json[]> {
  const losses: Loss[] = [];
  const items: Json[] = [];
  let run: { role: "user" | "assistant"; content: Json[] } | undefined;
  const flush = (): void => {
    if (run !== undefined && run.content.length > 0)
      items.push({ role: run.role, content: putResultsFirst(run.content, items.at(-1)) });
    run = undefined;
  };
  for (const message of uniqueToolIds(messages, (one) => verbatimItem(one, target) !== undefined)) {
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

/** Newer models take `system` also inside the list; what nobody knows there is a user's. */
export function decodeMessage(item: Json, seal?: string): Message {
  const native = { dialect, item } as const;
  if (!isObject(item)) return { role: "user", blocks: [], native };
  const role = item.role === "assistant" || item.role === "system" ? item.role : "user";
  return { role, blocks: decodeContent(item.content, seal), native };
}

function encodeMessage(message: Message, target: EncodeTarget, losses: Loss[]): Json[] {
  if (message.name !== undefined)
    losses.push({ at: "messages.name", what: "dropped", why: "anthropic has no names of speakers" });
  // The role `system` inside the list is for the newest models only; everywhere else it is a 400.
  if (message.role === "system")
    losses.push({ at: "messages.system", what: "approximated", why: "said as the user's text where it stands" });
  if (message.role !== "assistant") return encodeContent(message.blocks, target, losses);
  const encodable = message.blocks.filter(({ kind }) => kind !== "media");
  if (encodable.length < message.blocks.length)
    losses.push({ at: "media", what: "dropped", why: "anthropic's assistant says no media" });
  return encodeContent(encodable, target, losses);
}

/** `system`: the leading system message, its native saying the member whole. */
export function decodeSystem(system: Json | undefined): Message[] {
  const blocks = decodeContent(system);
  return blocks.length > 0 ? [{ role: "system", blocks, native: { dialect, item: { system: system! } } }] : [];
}

/** The member `system` for the messages that lead, and the messages behind them. */
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

function readSystemMember(message: Message, target: EncodeTarget): Json | undefined {
  const own = verbatim(message.native, target);
  return isObject(own) && own.role === undefined ? own.system : undefined;
}

/** One plain text is a string, anything else a list of texts. */
function encodeInstructions(message: Message, target: EncodeTarget, losses: Loss[]): Json | undefined {
  const parts = encodeContent(message.blocks, target, losses);
  const texts = parts.filter((part) => isObject(part) && part.type === "text");
  if (texts.length < parts.length)
    losses.push({ at: "system", what: "dropped", why: "anthropic takes instructions as text only" });
  const [only] = texts;
  if (texts.length === 1 && isObject(only) && Object.keys(only).length === 2) return only.text;
  return texts.length > 0 ? texts : undefined;
}

function joinSystem(parts: readonly (Json | undefined)[]): Json | undefined {
  const texts = parts.flatMap((part): Json[] =>
    typeof part === "string" ? [{ type: "text", text: part }] : Array.isArray(part) ? part : [],
  );
  return texts.length > 0 ? texts : undefined;
}

/** A message that stood in this wire's own list; instructions did not. */
function verbatimItem(message: Message, target: EncodeTarget): JsonObject | undefined {
  const ownItem = verbatimMessage(message, target);
  return isObject(ownItem) && ownItem.role !== undefined ? ownItem : undefined;
}

const isListed = (message: Message, target: EncodeTarget): boolean => verbatimItem(message, target) !== undefined;

/** Nothing but white space: as a message the API refuses it. */
export const hasNoContent = (content: readonly Json[]): boolean =>
  content.every((item) => isObject(item) && item.type === "text" && stringifyMember(item.text).trim() === "");

/** After calls the API wants their results before anything else that the message says. */
function putResultsFirst(content: readonly Json[], before: Json | undefined): Json[] {
  if (!isObject(before) || before.role !== "assistant") return [...content];
  return [...content.filter(isResult), ...content.filter((item) => !isResult(item))];
}

const isResult = (item: Json): boolean => isObject(item) && item.type === "tool_result";
