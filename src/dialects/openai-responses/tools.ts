import { readNativeItem } from "../../canonical/native.ts";
import type { Loss, Tool, ToolChoice } from "../../canonical/types.ts";
import {
  booleanOf,
  isObject,
  type Json,
  type JsonObject,
  stringifyMember,
  stringOf,
  withoutUndefined,
} from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";

const dialect = "openai-responses";

/** `undefined` if the request has no tool list. */
export const decodeTools = (tools: Json | undefined): Tool[] | undefined =>
  Array.isArray(tools) ? tools.map(decodeTool) : undefined;

/** The member `tools`; no member if no tool is left. */
export function encodeTools(tools: readonly Tool[], target: EncodeTarget, losses: Loss[]): JsonObject {
  const items = tools.flatMap((tool) => encodeTool(tool, target, losses) ?? []);
  return items.length > 0 ? { tools: items } : {};
}

/**
 * Tools of another type than `function` are run by the provider (`web_search`, `mcp`) or are custom; both are
 * opaque.
 */
function decodeTool(item: Json): Tool {
  const native = { dialect, item } as const;
  if (!isObject(item) || item.type !== "function") {
    return { kind: "server", label: isObject(item) ? stringifyMember(item.type) : "tool", native };
  }
  return withoutUndefined({
    kind: "function",
    name: stringifyMember(item.name),
    description: stringOf(item.description),
    parameters: isObject(item.parameters) ? item.parameters : undefined,
    strict: booleanOf(item.strict),
    native,
  });
}

/**
 * `strict` defaults to true in Responses and to false in every other wire (API reference, Responses: tools), so
 * it is always sent: a schema that was not written for strict mode would be refused. Loss: tools of other
 * providers.
 */
function encodeTool(tool: Tool, target: EncodeTarget, losses: Loss[]): Json | undefined {
  const ownItem = readNativeItem(tool.native, target);
  if (ownItem !== undefined) return ownItem;
  if (tool.kind === "server") {
    losses.push({ at: `tools.${tool.label}`, what: "dropped", why: `${dialect} does not support this tool` });
    return undefined;
  }
  const { name, description, strict = false, parameters = { type: "object", properties: {} } } = tool;
  return withoutUndefined({ type: "function", name, description, parameters, strict });
}

/** A choice of a hosted tool has no canonical form, because no other wire has that tool. */
export function decodeToolChoice(choice: Json | undefined): ToolChoice | undefined {
  if (choice === "auto" || choice === "none" || choice === "required") return { mode: choice };
  if (!isObject(choice)) return undefined;
  if (choice.type === "allowed_tools") {
    const tools = Array.isArray(choice.tools) ? choice.tools : [];
    const among = tools.flatMap((tool) => (isObject(tool) && typeof tool.name === "string" ? [tool.name] : []));
    return { mode: choice.mode === "required" ? "required" : "auto", among };
  }
  const isNamed = choice.type === "function" || choice.type === "custom" || choice.type === undefined;
  return isNamed && typeof choice.name === "string" ? { mode: "tool", name: choice.name } : undefined;
}

/** Functions are named directly here, without the nested object of Chat. */
export function encodeToolChoice(choice: ToolChoice): Json {
  if (choice.mode === "tool") return { type: "function", name: choice.name };
  if (choice.among === undefined || choice.mode === "none") return choice.mode;
  return { type: "allowed_tools", mode: choice.mode, tools: choice.among.map((name) => ({ type: "function", name })) };
}
