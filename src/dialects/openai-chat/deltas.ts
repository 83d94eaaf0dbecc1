import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";

/**
 * Adds a delta of `choices[].delta` to the message that a response without streaming would have. Texts and
 * lists grow, any other member replaces the earlier value. `tool_calls` have a function of their own; `role` is
 * constant.
 */
export function appendDelta(message: JsonObject, delta: JsonObject): void {
  for (const [member, value] of Object.entries(delta)) {
    if (value === null || member === "tool_calls" || member === "role") continue;
    const after = continueMember(member, message[member], value);
    if (after !== undefined) message[member] = after;
  }
}

/** The member with what a delta adds to it; undefined if it stays absent. A text is continued by text and lists only. */
function continueMember(member: string, before: Json | undefined, value: Json): Json | undefined {
  if (typeof value === "string") return continueWithText(member, before, value);
  if (member === "function_call") return appendFunctionCall(before, value);
  if (Array.isArray(value)) return appendList(before, value);
  return TEXT_MEMBERS.has(member) ? before : value;
}

/** A list gets a text as a part. */
function continueWithText(member: string, before: Json | undefined, text: string): Json {
  if (Array.isArray(before)) {
    if (text !== "") before.push({ type: "text", text });
    return before;
  }
  if (!TEXT_MEMBERS.has(member)) return text;
  return typeof before === "string" ? before + text : text;
}

/**
 * Members that arrive in pieces. Strings of other members (`id`, `name`) arrive whole, some hosts repeat them.
 */
const TEXT_MEMBERS = new Set(["content", "refusal", "reasoning", "reasoning_content"]);

/** The arguments arrive in pieces, the name whole. */
function appendFunctionCall(before: Json | undefined, more: Json): Json {
  if (!isObject(before) || !isObject(more)) return more;
  const name = stringifyMember(before.name) || stringifyMember(more.name);
  return { ...before, ...more, name, arguments: stringifyMember(before.arguments) + stringifyMember(more.arguments) };
}

/**
 * A text before a list becomes a text part: Mistral sends reasoning as parts and the answer as texts, in one
 * message.
 */
function appendList(before: Json | undefined, more: Json[]): Json[] {
  if (Array.isArray(before)) return [...before, ...more];
  return typeof before === "string" && before !== "" ? [{ type: "text", text: before }, ...more] : [...more];
}
