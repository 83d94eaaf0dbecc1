import { sha256 } from "../wire/hash.ts";
import { isObject } from "../wire/json.ts";
import { editItem } from "./native.ts";
import type { Block, Message, ToolCall, ToolResult } from "./types.ts";

/** A tool call as far as its result refers to it. `item`: the id of its wire item. */
type CallIds = { id: string; item?: string };

/**
 * Gives tool results the ids of the calls they answer. An id decides first: a result with the id of an open call answers
 * that call. Then results for wires that match by name and order (most Gemini calls have no id): a result whose id belongs
 * to no call answers the first open call of its name that no id refers to, and one with neither id nor name the first one
 * at all: its provider gave the client no id to send. Open are the calls since the last client
 * message; earlier ones were answered or never will be.
 */
export function pairResults(messages: readonly Message[]): Message[] {
  const known = new Set<string>();
  let open: ToolCall[] = [];
  let ids: ReadonlyMap<Block, string> = NO_IDS;
  let wasAnswered = false;
  return messages.map((message, i) => {
    if (message.role === "assistant") {
      if (wasAnswered) open = [];
      wasAnswered = false;
      for (const block of message.blocks) {
        if (block.kind !== "tool_call") continue;
        open.push(block);
        known.add(block.id);
      }
      return message;
    }
    if (!wasAnswered) ids = open.length === 0 ? NO_IDS : matchResults(listResults(messages, i), open, known);
    wasAnswered = true;
    if (!message.blocks.some((block) => ids.has(block))) return message;
    const blocks = message.blocks.map((block) => {
      const id = block.kind === "tool_result" ? ids.get(block) : undefined;
      return id === undefined ? block : { ...block, id };
    });
    return { ...message, blocks };
  });
}

/**
 * Messages in which each call has one result, as providers refuse a second one: further results of a call add their
 * content to its last one that has a place, unless they only repeat it. The same list if there are none.
 */
export function joinResults(messages: Message[]): Message[] {
  let calls: ToolCall[] = [];
  let wasAnswered = false;
  // By id: the results of its calls, at most as many as these.
  let placed = new Map<string, ToolResult[]>();
  const joined = new Map<Block, ToolResult | undefined>();
  for (const { role, blocks } of messages) {
    if (role === "assistant") {
      if (wasAnswered) [calls, placed] = [[], new Map()];
      calls.push(...blocks.filter((block) => block.kind === "tool_call"));
    }
    wasAnswered = role !== "assistant";
    for (const block of blocks) {
      if (block.kind !== "tool_result") continue;
      const before = placed.get(block.id) ?? [];
      placed.set(block.id, before);
      const count = calls.filter(({ id }) => id === block.id).length;
      // A result of no call has no other to join.
      if (count === 0 || before.length < count) {
        before.push(block);
        continue;
      }
      joined.set(block, undefined);
      if (before.some((one) => isSameResult(one, block))) continue;
      const first = before.at(-1)!;
      const { content, isError } = joined.get(first) ?? first;
      const isFailed = isError === true || block.isError === true;
      const all = { content: [...content, ...block.content], ...(isFailed && { isError: true as const }) };
      joined.set(first, editItem(first, all));
    }
  }
  if (joined.size === 0) return messages;
  return messages.flatMap((message) => {
    if (!message.blocks.some((block) => joined.has(block))) return [message];
    const blocks = message.blocks.flatMap((block) => (joined.has(block) ? (joined.get(block) ?? []) : [block]));
    return blocks.length > 0 ? [editItem(message, { blocks })] : [];
  });
}

const isSameResult = (a: ToolResult, b: ToolResult): boolean =>
  a.isError === b.isError && JSON.stringify(a.content) === JSON.stringify(b.content);

const NO_IDS: ReadonlyMap<Block, string> = new Map();

/** The results from this message up to the next one of the model. */
function listResults(messages: readonly Message[], from: number): ToolResult[] {
  const results: ToolResult[] = [];
  for (let i = from; i < messages.length && messages[i]!.role !== "assistant"; i++)
    for (const block of messages[i]!.blocks) if (block.kind === "tool_result") results.push(block);
  return results;
}

/** The ids of results that have another id than the call they answer. `known`: the ids of all calls so far. */
function matchResults(
  results: readonly ToolResult[],
  calls: readonly ToolCall[],
  known: ReadonlySet<string>,
): ReadonlyMap<Block, string> {
  const ids = new Map<Block, string>();
  const open = [...calls];
  const rest = results.filter((result) => {
    const at = result.isIdAssigned ? -1 : findCall(open, result.id);
    if (at < 0) return true;
    const [call] = open.splice(at, 1);
    if (call!.id !== result.id) ids.set(result, call!.id);
    return false;
  });
  for (const result of rest) {
    if (!result.isIdAssigned) {
      // A further result of a call that is answered above.
      const answered = calls[findCall(calls, result.id)];
      if (answered !== undefined && answered.id !== result.id) ids.set(result, answered.id);
      if (answered !== undefined || known.has(result.id)) continue;
    }
    const isBare = result.id === "" && result.name === undefined;
    const at = open.findIndex(({ name }) => isBare || name === result.name);
    if (at >= 0) ids.set(result, open.splice(at, 1)[0]!.id);
  }
  return ids;
}

/** The index of the call with this id, or else of the one that another wire names by it; −1 if there is none. */
function findCall(calls: readonly ToolCall[], id: string): number {
  const at = calls.findIndex((call) => call.id === id);
  if (at >= 0) return at;
  return calls.findIndex((call) => {
    const item = isObject(call.native?.item) ? call.native.item.id : undefined;
    return isIdOf(typeof item === "string" ? { id: call.id, item } : call, id);
  });
}

/** Whether a result with this id answers the call: by its id, its item's id, or its id in the form of a stricter wire. */
export const isIdOf = (call: CallIds, id: string): boolean =>
  call.id === id || (call.item === id && id !== "") || (HASHED_ID.test(id) && hashToolId(call.id) === id);

/** The id of a call on a wire that does not accept `id`: 32 hexadecimal characters, always the same ones. */
export const hashToolId = (id: string): string => Buffer.from(sha256(id), "base64url").toString("hex").slice(0, 32);

const HASHED_ID = /^[0-9a-f]{32}$/;
