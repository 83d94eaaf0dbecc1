import { describeCustomInput } from "../../canonical/custom-tools.ts";
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
} from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { isCustom } from "../openai/custom-choice.ts";
import { encodeToolUse } from "../openai/tool-use.ts";

const dialect = "openai-chat";

/** `tools`, or its predecessor `functions`, whose entries are bare function objects. */
export function decodeTools(body: JsonObject): Tool[] | undefined {
  const listed = Array.isArray(body.tools) ? body.tools : undefined;
  const functions = Array.isArray(body.functions)
    ? body.functions.map((item): Json => ({ type: "function", function: item }))
    : undefined;
  return (listed ?? functions)?.map(decodeTool);
}

/** The members of a request that are about tools. Losses: those of `encodeTools`. */
export const encodeToolMembers = (request: ModelRequest, target: EncodeTarget, losses: Loss[]): JsonObject =>
  encodeToolUse(request, { tools: (tools) => encodeTools(tools, target, losses), choice: encodeToolChoice });

/**
 * Absent parameters mean that the tool takes none: an empty object schema. Loss: tools that a provider runs.
 */
function encodeTools(tools: readonly Tool[], target: EncodeTarget, losses: Loss[]): JsonObject {
  const items = tools.flatMap((tool): Json[] => {
    const ownItem = readNativeItem(tool.native, target);
    if (ownItem !== undefined) return [ownItem];
    if (tool.kind === "server") {
      losses.push({ at: `tools.${tool.label}`, what: "dropped", why: "openai-chat does not support this tool" });
      return [];
    }
    const { name, description, parameters, strict, custom } = tool;
    if (custom !== undefined) return [encodeCustomTool(tool, custom)];
    const parametersOrNone = parameters ?? { type: "object", properties: {} };
    return [
      {
        type: "function",
        function: withoutUndefined({ name, description, parameters: parametersOrNone, strict }) as JsonObject,
      },
    ];
  });
  return items.length > 0 ? { tools: items } : {};
}

/** `{type: "custom", custom: {name, description, format}}`: a tool with free text as its input. */
function encodeCustomTool({ name, description }: FunctionTool, { grammar }: NonNullable<FunctionTool["custom"]>): Json {
  const format = grammar === undefined ? undefined : { type: "grammar", grammar };
  return { type: "custom", custom: withoutUndefined({ name, description, format }) as JsonObject };
}

function decodeCustomTool({ name, description, format }: JsonObject): FunctionTool {
  const grammar = isObject(format) && isObject(format.grammar) ? format.grammar : undefined;
  const custom =
    grammar === undefined
      ? {}
      : { grammar: { syntax: stringifyMember(grammar.syntax), definition: stringifyMember(grammar.definition) } };
  return withoutUndefined({
    kind: "function" as const,
    name: stringifyMember(name),
    description: stringOf(description),
    parameters: describeCustomInput(custom),
    custom,
  });
}

/**
 * A tool without a function object is opaque: hosted tools of compatible hosts. Clients of Mistral omit `type`.
 */
function decodeTool(item: Json): Tool {
  const native = { dialect, item } as const;
  if (isObject(item) && item.type === "custom" && isObject(item.custom))
    return { ...decodeCustomTool(item.custom), native };
  if (!isObject(item) || (item.type ?? "function") !== "function" || !isObject(item.function)) {
    return { kind: "server", label: isObject(item) ? stringifyMember(item.type) : "tool", native };
  }
  const { name, description, parameters, strict } = item.function;
  return withoutUndefined({
    kind: "function",
    name: stringifyMember(name),
    description: stringOf(description),
    parameters: isObject(parameters) ? parameters : undefined,
    strict: booleanOf(strict),
    native,
  });
}

/**
 * `"any"` is what Mistral has for `"required"`. An object names a function, a custom tool or a list of allowed tools, or
 * has the type of a hosted tool of a compatible host.
 */
export function decodeToolChoice(choice: Json | undefined): ToolChoice | undefined {
  if (choice === "auto" || choice === "none" || choice === "required") return { mode: choice };
  if (choice === "any") return { mode: "required" };
  if (!isObject(choice)) return undefined;
  if (isObject(choice.allowed_tools)) return decodeAllowed(choice.allowed_tools);
  const named = isObject(choice.function) ? choice.function : isObject(choice.custom) ? choice.custom : choice;
  if (typeof named.name === "string") return { mode: "tool", name: named.name };
  const type = stringOf(choice.type);
  return type === undefined || NAMED_TYPES.has(type) ? undefined : { mode: "tool", name: type, isServer: true };
}

/**
 * `allowed_tools` restricts the choice without changing the tool list, so that the cached prefix stays (API
 * reference). `tools`: those of the request.
 */
function encodeToolChoice(choice: ToolChoice, tools: readonly Tool[]): Json {
  const encodeName = (name: string): Json =>
    isCustom(name, tools) ? { type: "custom", custom: { name } } : { type: "function", function: { name } };
  if (choice.mode === "tool") return encodeName(choice.name);
  if (choice.among === undefined || choice.mode === "none") return choice.mode;
  return { type: "allowed_tools", allowed_tools: { mode: choice.mode, tools: choice.among.map(encodeName) } };
}

/** Types of a choice that names a tool. */
const NAMED_TYPES: ReadonlySet<string> = new Set(["function", "custom", "allowed_tools"]);

/** `{mode, tools}`; of the tools only functions and custom tools have a name here. */
function decodeAllowed({ mode, tools }: JsonObject): ToolChoice {
  const listed = (Array.isArray(tools) ? tools : []).filter(isObject);
  const among = listed.flatMap((tool) => {
    const named = tool.function ?? tool.custom;
    return isObject(named) ? [stringifyMember(named.name)] : [];
  });
  const types = listed.flatMap(({ type }) => stringOf(type) ?? []);
  const servers = types.filter((type) => !NAMED_TYPES.has(type));
  return { mode: mode === "required" ? "required" : "auto", among, ...(servers.length > 0 && { servers }) };
}
