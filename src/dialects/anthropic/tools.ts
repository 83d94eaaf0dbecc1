import { readNativeItem } from "../../canonical/native.ts";
import type { FunctionTool, Loss, ModelRequest, Tool, ToolChoice } from "../../canonical/types.ts";
import {
  booleanOf,
  isObject,
  type Json,
  type JsonObject,
  stringifyMember,
  stringOf,
  withoutUndefined,
  lookUp,
} from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { listUnshared, UNSHARED_IN_TOOLS } from "../unshared-members.ts";
import { cacheOf, withCache } from "./blocks.ts";
import { toObjectSchema, toSupportedSchema } from "./schema.ts";

const dialect = "anthropic";

/** `tools`, and `mcp_servers` as one server tool: both are what the model can call. */
export function decodeTools(body: JsonObject): Tool[] | undefined {
  const listed = Array.isArray(body.tools) ? body.tools.map(decodeTool) : undefined;
  if (!Array.isArray(body.mcp_servers) || body.mcp_servers.length === 0) return listed;
  const servers = { dialect, item: { mcp_servers: body.mcp_servers } } as const;
  return [...(listed ?? []), { kind: "server", label: "mcp", native: servers }];
}

/** `tools` and, from a request of this wire, `mcp_servers`. Loss: tools of other providers. */
export function encodeTools(tools: readonly Tool[], target: EncodeTarget, losses: Loss[]): JsonObject {
  const items: Json[] = [];
  const members: JsonObject = {};
  for (const tool of tools) {
    const ownItem = readNativeItem(tool.native, target);
    if (isObject(ownItem) && ownItem.mcp_servers !== undefined) Object.assign(members, ownItem);
    else if (ownItem !== undefined) items.push(ownItem);
    else if (tool.kind === "function") items.push(encodeFunction(tool, losses));
    else losses.push({ at: `tools.${tool.label}`, what: "dropped", why: "anthropic does not support this tool" });
  }
  return items.length > 0 ? { ...members, tools: items } : members;
}

/**
 * Tools with a type of their own (`web_search_20250305`, `bash_20250124`) are those of the provider.
 */
function decodeTool(item: Json): Tool {
  const native = { dialect, item } as const;
  if (!isObject(item)) return { kind: "server", label: "tool", native };
  const isFunction = item.type === undefined || item.type === null || item.type === "custom";
  if (!isFunction) return { kind: "server", label: stringifyMember(item.type), native, ...cacheOf(item) };
  return withoutUndefined({
    kind: "function",
    name: stringifyMember(item.name),
    description: stringOf(item.description),
    parameters: isObject(item.input_schema) ? item.input_schema : undefined,
    strict: booleanOf(item.strict),
    native,
    ...cacheOf(item),
    ...listUnshared(item, UNSHARED_IN_TOOLS),
  });
}

/**
 * Loss: what a schema cannot have here. Strict tools allow less, because the API compiles their schemas.
 */
function encodeFunction(tool: FunctionTool, losses: Loss[]): JsonObject {
  const { name, description, parameters, strict } = tool;
  const at = `tools.${name}.parameters`;
  const schema = toObjectSchema(parameters ?? {}, at, losses);
  const inputSchema = strict ? toSupportedSchema(schema, at, losses) : schema;
  return withCache(withoutUndefined({ name, description, input_schema: inputSchema, strict }) as JsonObject, tool);
}

/** `tool_choice.type` (Anthropic API, Messages). */
const MODE_BY_TYPE: Record<string, "auto" | "none" | "required"> = { auto: "auto", none: "none", any: "required" };

/** `disable_parallel_tool_use` is a member of the choice. */
export function decodeToolChoice(choice: Json | undefined): { toolChoice?: ToolChoice; parallelTools?: boolean } {
  if (!isObject(choice)) return {};
  const mode = lookUp(MODE_BY_TYPE, stringifyMember(choice.type));
  const named = choice.type === "tool" ? { mode: "tool" as const, name: stringifyMember(choice.name) } : undefined;
  const toolChoice = mode === undefined ? named : { mode };
  const disabled = booleanOf(choice.disable_parallel_tool_use);
  return withoutUndefined({ toolChoice, parallelTools: disabled === undefined ? undefined : !disabled });
}

/** The caller omits it without tools, because the API refuses that. */
export function encodeToolChoice({ toolChoice, parallelTools }: ModelRequest): JsonObject {
  const single = parallelTools === false ? { disable_parallel_tool_use: true } : {};
  if (toolChoice === undefined) return parallelTools === false ? { tool_choice: { type: "auto", ...single } } : {};
  if (toolChoice.mode === "tool") return { tool_choice: { type: "tool", name: toolChoice.name, ...single } };
  if (toolChoice.mode === "none") return { tool_choice: { type: "none" } };
  return { tool_choice: { type: toolChoice.mode === "required" ? "any" : "auto", ...single } };
}
