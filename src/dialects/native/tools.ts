import { readNativeItem } from "../../canonical/native.ts";
import type { Tool, ToolChoice } from "../../canonical/types.ts";
import { booleanOf, isObject, type Json, stringifyMember, stringOf, withoutUndefined } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { decodeNative, encodeNative } from "./blocks.ts";

const dialect = "native";

/** `undefined` if the request has no tool list. */
export const decodeTools = (tools: Json | undefined): Tool[] | undefined =>
  Array.isArray(tools) ? tools.map(decodeTool) : undefined;

/** Inverse of `decodeTools`. Nothing is lost: a tool of a provider is sent with its native item. */
export const encodeTools = (tools: readonly Tool[] | undefined, target: EncodeTarget): Json[] | undefined =>
  tools?.map((tool) => encodeTool(tool, target));

/**
 * A function of the caller, or `{type: "provider", native}`: a tool that the provider of that dialect runs.
 */
function decodeTool(item: Json): Tool {
  const own = { native: { dialect, item } } as const;
  if (!isObject(item)) return { kind: "server", label: "tool", ...own };
  if (item.type === "provider") {
    const native = decodeNative(item.native);
    const tool = isObject(native?.item) ? native.item : {};
    const label = stringifyMember(tool.type) || (Object.keys(tool)[0] ?? "tool");
    return { kind: "server", label, native: native ?? own.native };
  }
  if ((item.type ?? "function") !== "function") return { kind: "server", label: stringifyMember(item.type), ...own };
  return withoutUndefined({
    kind: "function",
    name: stringifyMember(item.name),
    description: stringOf(item.description),
    parameters: isObject(item.parameters) ? item.parameters : undefined,
    strict: booleanOf(item.strict),
    cache: item.cache === "5m" || item.cache === "1h" ? item.cache : undefined,
    ...own,
  });
}

/** A tool that came over this wire is passed unchanged. */
function encodeTool(tool: Tool, target: EncodeTarget): Json {
  const ownItem = readNativeItem(tool.native, target);
  if (ownItem !== undefined) return ownItem;
  if (tool.kind === "server") return { type: "provider", native: encodeNative(tool.native) };
  const { name, description, parameters, strict, cache } = tool;
  return withoutUndefined({ type: "function", name, description, parameters, strict, cache });
}

/** `"auto"`, `"none"`, `"required"`, `{name}`, or `{mode, among: [name]}`. */
export function decodeToolChoice(choice: Json | undefined): ToolChoice | undefined {
  if (choice === "auto" || choice === "none" || choice === "required") return { mode: choice };
  if (!isObject(choice)) return undefined;
  if (typeof choice.name === "string") return { mode: "tool", name: choice.name };
  const { mode, among } = choice;
  if (mode !== "auto" && mode !== "required") return undefined;
  return Array.isArray(among) ? { mode, among: among.filter((name) => typeof name === "string") } : { mode };
}

/** Inverse of `decodeToolChoice`; `among` restricts the choice to some functions. */
export function encodeToolChoice(choice: ToolChoice | undefined): Json | undefined {
  if (choice === undefined) return undefined;
  if (choice.mode === "tool") return { name: choice.name };
  return choice.among === undefined ? choice.mode : { mode: choice.mode, among: choice.among };
}
