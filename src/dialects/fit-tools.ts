import { readNativeItem } from "../canonical/native.ts";
import {
  type CalledTool,
  fitToolName,
  mapCalls,
  qualifiedNameOf,
  qualifyName,
  type ToolAliases,
  toolKey,
  type ToolRules,
} from "../canonical/tool-names.ts";
import type { FunctionTool, Loss, Message, ModelRequest, Tool, ToolCall, ToolChoice } from "../canonical/types.ts";
import { isObject, type Json, type JsonObject } from "../wire/json.ts";
import type { Encoded, EncodedRequest, EncodeTarget } from "./dialect.ts";

/** Encodes messages whose calls name their tools as the target knows them. */
export const withFittedCalls =
  (rules: ToolRules, encodeMessages: (messages: readonly Message[], target: EncodeTarget) => Encoded<Json[]>) =>
  (messages: readonly Message[], target: EncodeTarget): Encoded<Json[]> =>
    encodeMessages(fitCalls(messages, rulesOf(rules, target), NO_TOOLS), target);

/**
 * Encodes a request whose tools, choice and history have names and forms of the target. `aliases`: the tools that are
 * another there. A body that came over the target's wire has its own tools already.
 */
export function withFittedTools(
  dialectRules: ToolRules,
  encodeRequest: (request: ModelRequest, target: EncodeTarget) => Encoded<JsonObject>,
): (request: ModelRequest, target: EncodeTarget) => EncodedRequest {
  return (request, target) => {
    const rules = rulesOf(dialectRules, target);
    if (request.rest?.dialect === target.dialect) {
      const messages = fitCalls(request.messages, rules, NO_TOOLS);
      return encodeRequest({ ...request, messages }, target);
    }
    const functions = (request.tools ?? []).filter((tool) => tool.kind === "function");
    const names = assignNames(functions, rules);
    const losses: Loss[] = [];
    const fitted: ModelRequest = { ...request, messages: fitCalls(request.messages, rules, names) };
    if (request.tools !== undefined) fitted.tools = request.tools.map((tool) => fitTool(tool, rules, names, losses));
    if (request.toolChoice !== undefined)
      fitted.toolChoice = fitChoice(
        request.toolChoice,
        functions,
        withServerTools(names, request.tools, target),
        losses,
      );
    const encoded = encodeRequest(fitted, target);
    const aliases = listAliases(functions, rules, names);
    return {
      value: encoded.value,
      losses: [...losses, ...encoded.losses],
      ...(aliases.size > 0 && { aliases }),
    };
  };
}

/** Names at the target by `toolKey`. */
type TargetNames = ReadonlyMap<string, string>;
const NO_TOOLS: TargetNames = new Map();
const keyOf = ({ name, namespace }: FunctionTool): string => toolKey(name, namespace?.name);

const rulesOf = (rules: ToolRules, { quirks }: EncodeTarget): ToolRules =>
  quirks?.lacksCustomTools ? { ...rules, hasCustom: false } : rules;

/** Two tools never get one name: a namespaced tool can have the qualified name of another one. */
function assignNames(tools: readonly FunctionTool[], rules: ToolRules): TargetNames {
  const names = new Map<string, string>();
  const used = new Set<string>();
  const assign = (tool: FunctionTool, name: string): void => {
    names.set(keyOf(tool), name);
    used.add(name);
  };
  for (const tool of tools) if (tool.namespace === undefined) assign(tool, fitToolName(tool.name, rules));
  for (const tool of tools) {
    if (tool.namespace === undefined) continue;
    const name = nameAt(rules, tool.name, tool.namespace.name);
    assign(tool, used.has(name) && !rules.hasNamespaces ? fitToolName(`${name} `, rules) : name);
  }
  return names;
}

/** Tools that the target runs itself can be chosen by their names, too. */
function withServerTools(names: TargetNames, tools: readonly Tool[] | undefined, target: EncodeTarget): TargetNames {
  const items = (tools ?? []).flatMap((tool) =>
    tool.kind === "server" ? (readNativeItem(tool.native, target) ?? []) : [],
  );
  const own = items.flatMap((item): [string, string][] =>
    isObject(item) && typeof item.name === "string" ? [[toolKey(item.name, undefined), item.name]] : [],
  );
  return own.length === 0 ? names : new Map([...own, ...names]);
}

const nameAt = (rules: ToolRules, name: string, namespace: string | undefined): string =>
  fitToolName(rules.hasNamespaces ? name : qualifyName(name, namespace), rules);

/** Loss: a grammar, where the tool becomes a function. */
function fitTool(tool: Tool, rules: ToolRules, names: TargetNames, losses: Loss[]): Tool {
  if (tool.kind !== "function") return tool;
  const { namespace, custom, ...rest } = tool;
  if (custom?.grammar !== undefined && !rules.hasCustom)
    losses.push({
      at: `tools.${tool.name}.format`,
      what: "approximated",
      why: "the provider has no grammars: the tool's description has it as text",
    });
  return {
    ...rest,
    name: names.get(keyOf(tool))!,
    ...(namespace !== undefined && rules.hasNamespaces && { namespace }),
    ...(custom !== undefined && rules.hasCustom && { custom }),
  };
}

function fitCalls(messages: readonly Message[], rules: ToolRules, names: TargetNames): Message[] {
  const fit = (name: string, namespace?: string): string =>
    names.get(toolKey(name, namespace)) ?? nameAt(rules, name, namespace);
  return messages.map((message) =>
    fitResults(
      mapCalls(message, (call) => fitCall(call, rules, fit)),
      fit,
    ),
  );
}

function fitCall(call: ToolCall, rules: ToolRules, fit: (name: string, namespace?: string) => string): ToolCall {
  const { namespace, custom, ...rest } = call;
  const name = fit(call.name, namespace);
  const isUnchanged =
    name === call.name && (namespace === undefined || rules.hasNamespaces) && (!custom || rules.hasCustom);
  if (isUnchanged) return call;
  return {
    ...rest,
    name,
    ...(namespace !== undefined && rules.hasNamespaces && { namespace }),
    ...(custom && rules.hasCustom && { custom }),
  };
}

/** Results have the name of their tool on some wires. */
function fitResults(message: Message, fit: (name: string) => string): Message {
  if (!message.blocks.some((block) => block.kind === "tool_result" && block.name !== undefined)) return message;
  const blocks = message.blocks.map((block) =>
    block.kind === "tool_result" && block.name !== undefined ? { ...block, name: fit(block.name) } : block,
  );
  return { ...message, blocks };
}

/** A choice names only tools that are sent: functions, under their names at the target. Loss: any other name. */
function fitChoice(
  choice: ToolChoice,
  functions: readonly FunctionTool[],
  names: TargetNames,
  losses: Loss[],
): ToolChoice {
  const find = (name: string): string[] => {
    const tool =
      functions.find((one) => qualifiedNameOf(one) === name && one.namespace !== undefined) ??
      functions.find((one) => one.name === name);
    const found = names.get(toolKey(name, undefined)) ?? (tool && names.get(keyOf(tool)));
    if (found === undefined) losses.push({ at: "tool_choice", what: "dropped", why: `the tool ${name} is not sent` });
    return found === undefined ? [] : [found];
  };
  if (choice.mode === "tool") {
    const [name] = find(choice.name);
    return name === undefined ? { mode: "auto" } : { mode: "tool", name };
  }
  if (choice.among === undefined) return choice;
  const among = choice.among.flatMap(find);
  return among.length > 0 ? { mode: choice.mode, among } : { mode: "none" };
}

/** The tools that a call of the target names otherwise than the request does. */
function listAliases(tools: readonly FunctionTool[], rules: ToolRules, names: TargetNames): ToolAliases {
  const aliases = new Map<string, CalledTool>();
  for (const tool of tools) {
    const called = toCalledTool(tool);
    const name = names.get(keyOf(tool))!;
    const isSame =
      name === tool.name &&
      (called.namespace === undefined || rules.hasNamespaces) &&
      (!called.custom || rules.hasCustom);
    if (!isSame) aliases.set(name, called);
  }
  return aliases;
}

/** The members of a call that name this tool. */
export const toCalledTool = ({ name, namespace, custom }: FunctionTool): CalledTool => ({
  name,
  ...(namespace !== undefined && { namespace: namespace.name }),
  ...(custom !== undefined && { custom: true as const }),
});
