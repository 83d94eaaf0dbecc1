import { customArguments, readCustomInput } from "../../canonical/custom-tools.ts";
import type { Loss, Part, ToolCall, ToolResult } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, stringOf, withoutUndefined } from "../../wire/json.ts";
import type { AnswerCalls } from "../answer-calls.ts";
import type { EncodeTarget } from "../dialect.ts";
import * as blocks from "./blocks.ts";

/** `call_id` connects call and result; `id` is the id of the item. */
export function decodeToolCall(item: JsonObject): ToolCall {
  const isCustom = item.type === "custom_tool_call";
  return {
    kind: "tool_call",
    id: stringifyMember(item.call_id),
    name: stringifyMember(item.name),
    arguments: isCustom ? customArguments(item.input) : stringifyMember(item.arguments),
    ...(typeof item.namespace === "string" && item.namespace !== "" && { namespace: item.namespace }),
    ...(isCustom && { custom: true as const }),
  };
}

/** Whether an output item is a call of a client's tool. */
export const isCallItem = (item: Json): item is JsonObject =>
  isObject(item) && (item.type === "function_call" || item.type === "custom_tool_call");

/** The output item, of a call with an id; undefined if the call is left out. */
export function identifyCall(item: Json, calls: AnswerCalls): Json | undefined {
  if (!isCallItem(item)) return item;
  const { input = "" } = item;
  const call = decodeToolCall(item);
  const id = calls.identify({
    ...call,
    arguments: item.type === "custom_tool_call" ? stringifyMember(input) : call.arguments,
  });
  if (id === undefined) return undefined;
  return id === call.id ? item : { ...item, call_id: id };
}

/** Whether the item is a call with the members that it needs to be opened. */
export const isIdentified = (item: JsonObject): boolean =>
  isCallItem(item) && stringifyMember(item.name) !== "" && stringifyMember(item.call_id) !== "";

/** A call that is not open yet, with what an event of the stream adds: not every host repeats it in the whole item. */
export function extendCall(item: JsonObject, event: JsonObject): JsonObject {
  const member = item.type === "custom_tool_call" ? "input" : "arguments";
  const text = stringOf(event[member]) ?? stringifyMember(item[member]) + stringifyMember(event.delta);
  return { ...item, [member]: text, ...(event.name !== undefined && { name: event.name }) };
}

/** A call with the members that it lacks and its earlier form had; any other item unchanged. */
export function addMissing(item: JsonObject, earlier: JsonObject): JsonObject {
  if (!isCallItem(item)) return item;
  const missing = ["name", "call_id", "arguments", "input"].filter(
    (member) => stringifyMember(item[member]) === "" && stringifyMember(earlier[member]) !== "",
  );
  return { ...item, ...Object.fromEntries(missing.map((member) => [member, earlier[member]!])) };
}

/** The members of a call that are the same in a history and in an answer. Empty arguments become `{}`. */
export const encodeToolCall = ({ name, namespace, custom, arguments: args }: ToolCall): JsonObject => ({
  ...(custom ? { input: readCustomInput(args) } : { arguments: args || "{}" }),
  name,
  ...(namespace !== undefined && { namespace }),
});

/** The same members before the first delta. */
export const encodeOpenCall = (call: ToolCall): JsonObject => ({
  ...encodeToolCall(call),
  ...(call.custom ? { input: "" } : { arguments: "" }),
});

export const callTypeOf = ({ custom }: ToolCall): string => (custom ? "custom_tool_call" : "function_call");

/** `output` is a string or a list of parts; other JSON, as some clients send it, becomes text. */
export function decodeToolResult(item: JsonObject): ToolResult {
  const content: Part[] =
    typeof item.output === "string" || Array.isArray(item.output)
      ? blocks.decodeContent(item.output)
      : [{ kind: "text", text: stringifyMember(item.output) }];
  return withoutUndefined({
    kind: "tool_result" as const,
    id: stringifyMember(item.call_id),
    name: stringOf(item.name),
    content,
  });
}

/** One text is a string, as all clients write it; everything else is a list of parts. */
export function encodeOutput(content: readonly Part[], target: EncodeTarget, losses: Loss[]): Json {
  const parts = blocks.encodeContent(content, "client", target, losses);
  const [first] = parts;
  if (first === undefined) return "";
  return parts.length === 1 && isObject(first) && first.type === "input_text" ? stringifyMember(first.text) : parts;
}

/** OpenAI refuses call ids of more than 64 characters. */
const CALL_ID = /^.{1,64}$/s;

/** A host can have a pattern of its own. */
export const toolIdPattern = (target: EncodeTarget): RegExp => target.quirks?.toolId ?? CALL_ID;
