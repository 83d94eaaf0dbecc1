import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";

/**
 * Adds a delta of `choices[].delta` to the message that a response without streaming would have. Texts and
 * lists grow, any other member replaces the earlier value. `tool_calls` have a function of their own; `role` is
 * constant.
 */
export function appendDelta(message: JsonObject, delta: JsonObject): void {
  for (const [member, value] of Object.entries(delta)) {
    const before = message[member];
    if (value === null || member === "tool_calls" || member === "role") continue;
    if (typeof value === "string" && Array.isArray(before))
      before.push(...(value === "" ? [] : [{ type: "text", text: value }]));
    else if (typeof value === "string" && TEXT_MEMBERS.has(member))
      message[member] = (typeof before === "string" ? before : "") + value;
    else if (Array.isArray(value)) message[member] = appendList(before, value);
    else message[member] = value;
  }
}

/**
 * Members that arrive in pieces. Strings of other members (`id`, `name`) arrive whole, some hosts repeat them.
 */
const TEXT_MEMBERS = new Set(["content", "refusal", "reasoning", "reasoning_content"]);

/**
 * A text before a list becomes a text part: Mistral sends reasoning as parts and the answer as texts, in one
 * message.
 */
function appendList(before: Json | undefined, more: Json[]): Json[] {
  if (Array.isArray(before)) return [...before, ...more];
  return typeof before === "string" && before !== "" ? [{ type: "text", text: before }, ...more] : [...more];
}

/**
 * The calls of the message; the list is created on first use, because the deltas are written into it.
 */
export const ensureCalls = (message: JsonObject): JsonObject[] => (message.tool_calls ??= []) as JsonObject[];

/**
 * Adds a delta of a tool call, and returns the position of its call in the message. `index` identifies the call
 * (API reference, Chat: streaming). Some hosts send the index 0 for every call: a delta with another id starts
 * a new one.
 */
export function appendCallDelta(message: JsonObject, delta: JsonObject): number {
  const calls = ensureCalls(message);
  const { index: _, ...rest } = delta;
  const sameIndex = typeof delta.index === "number" ? findLastCall(calls, delta.index) : calls.length - 1;
  const known = calls[sameIndex];
  const isNew = known === undefined || (typeof delta.id === "string" && delta.id !== "" && known.id !== delta.id);
  if (isNew) {
    const fresh: JsonObject = {
      ...rest,
      function: { name: "", ...(isObject(rest.function) ? rest.function : {}), arguments: argumentsOf(delta) },
    };
    if (typeof delta.custom === "object") delete fresh.function;
    calls.push(fresh);
    STREAM_INDEX.set(fresh, typeof delta.index === "number" ? delta.index : calls.length - 1);
    return calls.length - 1;
  }
  const { id: _id, type: _type, function: more, ...others } = rest;
  Object.assign(known, others);
  if (isObject(known.function)) {
    known.function.arguments = stringifyMember(known.function.arguments) + argumentsOf(delta);
    if (isObject(more) && typeof more.name === "string" && known.function.name === "") known.function.name = more.name;
  }
  return sameIndex;
}

/**
 * The `index` of each call in the stream. It is no member of a finished call, so it is stored beside the
 * object.
 */
const STREAM_INDEX = new WeakMap<JsonObject, number>();
/** The latest call with that index: hosts that repeat an index mean the newest. */
const findLastCall = (calls: readonly JsonObject[], index: number): number =>
  calls.findLastIndex((call) => STREAM_INDEX.get(call) === index);

/** Arguments are JSON text; hosts that send an object mean the whole of it. */
export function argumentsOf(delta: JsonObject): string {
  const args = isObject(delta.function) ? delta.function.arguments : undefined;
  if (typeof args === "string") return args;
  return args === undefined || args === null ? "" : JSON.stringify(args);
}
