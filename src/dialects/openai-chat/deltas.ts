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
    // A value of another type cannot continue a text.
    if (TEXT_MEMBERS.has(member) && typeof value !== "string" && !Array.isArray(value)) continue;
    if (typeof value === "string" && Array.isArray(before))
      before.push(...(value === "" ? [] : [{ type: "text", text: value }]));
    else if (typeof value === "string" && TEXT_MEMBERS.has(member))
      message[member] = (typeof before === "string" ? before : "") + value;
    else if (member === "function_call") message[member] = appendFunctionCall(before, value);
    else if (Array.isArray(value)) message[member] = appendList(before, value);
    else message[member] = value;
  }
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
