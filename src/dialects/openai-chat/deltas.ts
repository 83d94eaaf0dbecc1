import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";

/** Adds a delta to the message: texts and lists grow, anything else is the last word. Calls have a rule of their own. */
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

const TEXT_MEMBERS = new Set(["content", "refusal", "reasoning", "reasoning_content"]);

function appendList(before: Json | undefined, more: Json[]): Json[] {
  if (Array.isArray(before)) return [...before, ...more];
  return typeof before === "string" && before !== "" ? [{ type: "text", text: before }, ...more] : [...more];
}

export const ensureCalls = (message: JsonObject): JsonObject[] => (message.tool_calls ??= []) as JsonObject[];

/** Adds a call's delta; answers which call of the message it belongs to. Some hosts number every call 0: another id is another call. */
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

/** The `index` a host gave a call: a matter of the stream, no member of the finished call. */
const STREAM_INDEX = new WeakMap<JsonObject, number>();
const findLastCall = (calls: readonly JsonObject[], index: number): number =>
  calls.findLastIndex((call) => STREAM_INDEX.get(call) === index);

export function argumentsOf(delta: JsonObject): string {
  const args = isObject(delta.function) ? delta.function.arguments : undefined;
  if (typeof args === "string") return args;
  return args === undefined || args === null ? "" : JSON.stringify(args);
}
