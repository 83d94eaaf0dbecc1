import { describeCustomInput } from "../../canonical/custom-tools.ts";
import { readNativeItem } from "../../canonical/native.ts";
import { qualifyName } from "../../canonical/tool-names.ts";
import type { FunctionTool, Loss, ModelRequest, Tool, ToolChoice } from "../../canonical/types.ts";
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
import { isCustom } from "../openai/custom-choice.ts";
import { encodeToolUse } from "../openai/tool-use.ts";
import { listUnshared, UNSHARED_IN_TOOLS } from "../unshared-members.ts";

const dialect = "openai-responses";

/** `undefined` if the request has no tool list. */
export const decodeTools = (tools: Json | undefined): Tool[] | undefined =>
  Array.isArray(tools) ? tools.flatMap((item) => decodeNamespace(item) ?? decodeTool(item)) : undefined;

/** The members of a request that are about tools. Losses: those of `encodeTools`. */
export const encodeToolMembers = (request: ModelRequest, target: EncodeTarget, losses: Loss[]): JsonObject =>
  encodeToolUse(request, { tools: (tools) => encodeTools(tools, target, losses), choice: encodeToolChoice });

/** The member `tools`; no member if no tool is left. Tools of one namespace are members of one item. */
function encodeTools(tools: readonly Tool[], target: EncodeTarget, losses: Loss[]): JsonObject {
  const items: Json[] = [];
  const namespaces = new Map<string, Json[]>();
  for (const tool of tools) {
    const item = encodeTool(tool, target, losses);
    if (item === undefined) continue;
    const namespace = tool.kind === "function" ? tool.namespace : undefined;
    const members = namespace === undefined ? items : (namespaces.get(namespace.name) ?? []);
    members.push(item);
    if (namespace === undefined || namespaces.has(namespace.name)) continue;
    namespaces.set(namespace.name, members);
    items.push({ type: "namespace", name: namespace.name, description: namespace.description ?? "", tools: members });
  }
  return items.length > 0 ? { tools: items } : {};
}

/** The functions and custom tools of a namespace; `undefined` for any other item. */
function decodeNamespace(item: Json): Tool[] | undefined {
  if (!isObject(item) || item.type !== "namespace" || !Array.isArray(item.tools)) return undefined;
  const namespace = withoutUndefined({ name: stringifyMember(item.name), description: stringOf(item.description) });
  return item.tools.map((member) => {
    const tool = decodeTool(member);
    return tool.kind === "function" ? { ...tool, namespace } : tool;
  });
}

/**
 * Tools of another type than `function` and `custom` are run by the provider (`web_search`, `mcp`) and opaque.
 */
function decodeTool(item: Json): Tool {
  const native = { dialect, item } as const;
  if (isObject(item) && item.type === "custom")
    return { ...decodeCustomTool(item), native, ...listUnshared(item, UNSHARED_IN_TOOLS) };
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
    ...listUnshared(item, UNSHARED_IN_TOOLS),
  });
}

/** A tool with free text as its input, which a grammar can restrict. */
function decodeCustomTool(item: JsonObject): FunctionTool {
  const format = isObject(item.format) && item.format.type === "grammar" ? item.format : undefined;
  const custom =
    format === undefined
      ? {}
      : { grammar: { syntax: stringifyMember(format.syntax), definition: stringifyMember(format.definition) } };
  return withoutUndefined({
    kind: "function" as const,
    name: stringifyMember(item.name),
    description: stringOf(item.description),
    parameters: describeCustomInput(custom),
    custom,
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
  const { name, description, custom, strict = false, parameters = { type: "object", properties: {} } } = tool;
  if (custom !== undefined) {
    const format = custom.grammar === undefined ? undefined : { type: "grammar", ...custom.grammar };
    return withoutUndefined({ type: "custom", name, description, format });
  }
  return withoutUndefined({ type: "function", name, description, parameters, strict });
}

/** A hosted tool is chosen by its type. */
export function decodeToolChoice(choice: Json | undefined): ToolChoice | undefined {
  if (choice === "auto" || choice === "none" || choice === "required") return { mode: choice };
  if (!isObject(choice)) return undefined;
  if (choice.type === "allowed_tools") {
    const tools = Array.isArray(choice.tools) ? choice.tools : [];
    const chosen = tools.flatMap((tool) => (isObject(tool) ? (decodeChosen(tool) ?? []) : []));
    const among = chosen.flatMap(({ name, isServer }) => (isServer ? [] : [name]));
    const servers = chosen.flatMap(({ name, isServer }) => (isServer ? [name] : []));
    const mode = choice.mode === "required" ? "required" : "auto";
    return { mode, among, ...(servers.length > 0 && { servers }) };
  }
  const chosen = decodeChosen(choice);
  return chosen && { mode: "tool", ...chosen };
}

function decodeChosen(chosen: JsonObject): { name: string; isServer?: true } | undefined {
  const { type = "function", name } = chosen;
  if (type !== "function" && type !== "custom") return { name: stringifyMember(type), isServer: true };
  return typeof name === "string" ? { name: readName(chosen) } : undefined;
}

const readName = ({ name, namespace }: JsonObject): string => qualifyName(stringifyMember(name), stringOf(namespace));

/** Functions are named directly here, without the nested object of Chat. `tools`: those of the request. */
function encodeToolChoice(choice: ToolChoice, tools: readonly Tool[]): Json {
  const encodeName = (name: string): Json => ({ type: isCustom(name, tools) ? "custom" : "function", name });
  if (choice.mode === "tool") return encodeName(choice.name);
  if (choice.among === undefined || choice.mode === "none") return choice.mode;
  return { type: "allowed_tools", mode: choice.mode, tools: choice.among.map(encodeName) };
}
