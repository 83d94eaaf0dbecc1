import { editItem, readNativeItem } from "../canonical/native.ts";
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
import type {
  Block,
  FunctionTool,
  Loss,
  Message,
  ModelRequest,
  Tool,
  ToolCall,
  ToolChoice,
} from "../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, stringOf } from "../wire/json.ts";
import type { Encoded, EncodedRequest, EncodeTarget, WireDialect } from "./dialect.ts";
import { loseUnshared } from "./unshared-members.ts";

/** Encodes messages whose calls name their tools as the target knows them. */
export const withFittedCalls =
  (
    rules: ToolRules,
    encodeMessages: (messages: readonly Message[], target: EncodeTarget) => Encoded<Json[]>,
  ): WireDialect["encodeMessages"] =>
  (messages, target, tools) => {
    const { value, losses } = encodeMessages(fitCalls(messages, rulesOf(rules, target), listOwnNames(tools)), target);
    return { value, losses: [...loseUnshared({ messages }, target.dialect), ...losses] };
  };

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
    const isOwn = request.rest?.dialect === target.dialect;
    if (isOwn && !translatesTools(request, target)) {
      const messages = fitCalls(request.messages, rules, listOwnNames(request.tools));
      const { value, losses } = encodeRequest({ ...request, messages }, target);
      return { value, losses: [...loseUnshared({ messages }, target.dialect), ...losses] };
    }
    const functions = listFunctions(request.tools);
    const names = assignNames(functions, rules, isOwn);
    const losses: Loss[] = [];
    const fitted: ModelRequest = { ...request, messages: fitCalls(request.messages, rules, names) };
    if (request.tools !== undefined) fitted.tools = request.tools.map((tool) => fitTool(tool, rules, names, losses));
    losses.unshift(...loseUnshared(fitted, target.dialect));
    if (request.toolChoice !== undefined) {
      const allNames = withServerTools(names, request.tools, target);
      const sent = { functions, names: allNames, sentServers: listServers(request, rules, target) };
      fitted.toolChoice = fitChoice(request.toolChoice, sent, losses);
    }
    const sent = rules.hasAllowedTools ? fitted : restrictTools(fitted, target, losses);
    const encoded = encodeRequest(sent, target);
    const aliases = listAliases(functions, rules, names);
    return {
      value: isOwn ? { ...encoded.value, ...encodeToolMembers(sent, target, encodeRequest) } : encoded.value,
      losses: [...losses, ...encoded.losses],
      ...(aliases.size > 0 && { aliases }),
    };
  };
}

/** Whether the host lacks tools of its own dialect, so that `translatesTools` depends on the request. */
export const mayTranslateTools = ({ quirks }: Pick<EncodeTarget, "quirks">): boolean =>
  quirks?.lacksCustomTools === true;

/** Whether the host lacks what tools or their choice have in its own dialect, so that the body cannot be sent as it is. */
export const translatesTools = ({ tools = [], toolChoice }: ModelRequest, target: EncodeTarget): boolean =>
  mayTranslateTools(target) &&
  (listFunctions(tools).some(({ custom, namespace }) => custom !== undefined || namespace !== undefined) ||
    (toolChoice !== undefined && "among" in toolChoice));

/** The members that a body of the target's own dialect gets anew. */
function encodeToolMembers(
  { tools, toolChoice }: ModelRequest,
  target: EncodeTarget,
  encodeRequest: (request: ModelRequest, target: EncodeTarget) => Encoded<JsonObject>,
): JsonObject {
  const request: ModelRequest = { model: "", stream: false, messages: [] };
  if (tools !== undefined) request.tools = [...tools];
  // The body has the choice of a hosted tool, with members that only its dialect has.
  if (toolChoice !== undefined && !("isServer" in toolChoice)) request.toolChoice = toolChoice;
  const { value } = encodeRequest(request, target);
  return Object.fromEntries(Object.entries(value).filter(([member]) => TOOL_MEMBERS.has(member)));
}

/** Of Chat and Responses: the dialects whose hosts can lack something. */
const TOOL_MEMBERS = new Set(["tools", "tool_choice"]);

/** Names at the target by `toolKey`. */
type TargetNames = ReadonlyMap<string, string>;

const listFunctions = (tools: readonly Tool[] = []): FunctionTool[] => tools.filter((tool) => tool.kind === "function");

/** The names in a body that came over the target's wire: its tools keep them. */
const listOwnNames = (tools: readonly Tool[] | undefined): TargetNames =>
  new Map(listFunctions(tools).map((tool) => [keyOf(tool), tool.name]));

const keyOf = ({ name, namespace }: FunctionTool): string => toolKey(name, namespace?.name);

const rulesOf = (rules: ToolRules, { quirks }: EncodeTarget): ToolRules =>
  quirks?.lacksCustomTools ? { ...rules, hasCustom: false, hasNamespaces: false, hasAllowedTools: false } : rules;

/**
 * The names of these tools at a target with these rules. Two tools never get one name: names that can stay come first, and
 * one that is in use is fitted again. `isOwn`: the tools came over the target's wire and keep their names.
 */
function assignNames(tools: readonly FunctionTool[], rules: ToolRules, isOwn = false): TargetNames {
  const names = new Map<string, string>();
  const used = new Set<string>();
  const staysAsItIs = ({ name, namespace }: FunctionTool): boolean =>
    (namespace === undefined || rules.hasNamespaces === true) &&
    (isOwn || (namespace === undefined && rules.name.test(name)));
  for (const tool of [...tools].toSorted((a, b) => Number(staysAsItIs(b)) - Number(staysAsItIs(a)))) {
    if (names.has(keyOf(tool))) continue;
    const group = rules.hasNamespaces ? tool.namespace?.name : undefined;
    let name = staysAsItIs(tool) ? tool.name : nameAt(rules, tool.name, tool.namespace?.name);
    while (used.has(toolKey(name, group))) name = fitToolName(`${name} `, rules);
    names.set(keyOf(tool), name);
    used.add(toolKey(name, group));
  }
  return names;
}

/** Tools that the target runs itself can be chosen by their names, too. */
function withServerTools(names: TargetNames, tools: readonly Tool[] | undefined, target: EncodeTarget): TargetNames {
  const own = (tools ?? []).flatMap((tool): [string, string][] => {
    const name = tool.kind === "server" ? sentNameOf(tool, target) : undefined;
    return name === undefined ? [] : [[toolKey(name, undefined), name]];
  });
  return own.length === 0 ? names : new Map([...own, ...names]);
}

/** The labels of the tools that are sent and that the target, or a provider behind it, runs itself. */
const listServers = (
  { tools = [] }: ModelRequest,
  { forwardsServerTools }: ToolRules,
  target: EncodeTarget,
): ReadonlySet<string> =>
  new Set(
    tools.flatMap((tool) => {
      const isSent =
        forwardsServerTools || (tool.kind === "server" && readNativeItem(tool.native, target) !== undefined);
      return tool.kind === "server" && isSent ? [tool.label] : [];
    }),
  );

/** The name of a tool at the target; `undefined` if it has none there. */
function sentNameOf(tool: Tool, target: EncodeTarget): string | undefined {
  if (tool.kind === "function") return tool.name;
  const item = readNativeItem(tool.native, target);
  return isObject(item) ? stringOf(item.name) : undefined;
}

/**
 * Restricts the tools where the choice cannot be restricted. One tool that must be called is a choice of its own. Loss:
 * the tools that are not sent, although they may not be called; the provider's cached prefix changes with the list.
 */
function restrictTools(request: ModelRequest, target: EncodeTarget, losses: Loss[]): ModelRequest {
  const { toolChoice: choice, tools = [] } = request;
  if (choice === undefined || choice.mode === "tool" || choice.among === undefined) return request;
  const { mode, among, servers = [] } = choice;
  const [only] = among;
  if (mode === "required" && among.length === 1 && servers.length === 0)
    return { ...request, toolChoice: { mode: "tool", name: only! } };
  const allowed = tools.filter((tool) => {
    const isSent = tool.kind === "function" || readNativeItem(tool.native, target) !== undefined;
    const isServer = tool.kind === "server" && servers.includes(tool.label);
    return !isSent || isServer || among.includes(sentNameOf(tool, target) ?? "");
  });
  if (allowed.length < tools.length)
    losses.push({ at: "tool_choice", what: "approximated", why: "only the allowed tools are sent" });
  return { ...request, tools: allowed, toolChoice: { mode } };
}

const nameAt = (rules: ToolRules, name: string, namespace: string | undefined): string =>
  fitToolName(rules.hasNamespaces ? name : qualifyName(name, namespace), rules);

/** Losses: as from `lossesOfForm`. Of a namespace it is reported once. */
function fitTool(tool: Tool, rules: ToolRules, names: TargetNames, losses: Loss[]): Tool {
  if (tool.kind !== "function") return tool;
  // A tool that becomes a function of another form is not its item any more, in its own dialect either.
  const isItem =
    (tool.custom === undefined || rules.hasCustom) && (tool.namespace === undefined || rules.hasNamespaces);
  const { namespace, custom, ...rest } = isItem ? tool : editItem(tool, {});
  losses.push(...lossesOfForm(tool, rules).filter(({ at }) => losses.every((loss) => loss.at !== at)));
  return {
    ...rest,
    name: names.get(keyOf(tool))!,
    ...(namespace !== undefined && rules.hasNamespaces && { namespace }),
    ...(custom !== undefined && rules.hasCustom && { custom }),
  };
}

/** A grammar where the tool becomes a function, and the description of its namespace where there are none. */
function lossesOfForm({ name, namespace, custom }: FunctionTool, rules: ToolRules): Loss[] {
  const losses: Loss[] = [];
  if (custom?.grammar !== undefined && !rules.hasCustom)
    losses.push({
      at: `tools.${qualifyName(name, namespace?.name)}.format`,
      what: "approximated",
      why: "the provider has no grammars: the tool's description has it as text",
    });
  if (namespace?.description && !rules.hasNamespaces)
    losses.push({
      at: `tools.${namespace.name}.description`,
      what: "dropped",
      why: "the provider has no namespaces: their names become parts of those of their tools",
    });
  return losses;
}

function fitCalls(messages: readonly Message[], rules: ToolRules, names: TargetNames): Message[] {
  const fit = (name: string, namespace?: string): string =>
    names.get(toolKey(name, namespace)) ?? nameAt(rules, name, namespace);
  return messages.map((message) =>
    fitResults(
      mapCalls(rules.hasCustom ? message : withoutToolItems(message), (call) => fitCall(call, rules, fit)),
      fit,
    ),
  );
}

/**
 * Calls of custom tools with their results, and calls in a namespace, without their items, which a host of the same dialect
 * does not take.
 */
function withoutToolItems(message: Message): Message {
  if (!message.blocks.some(isToolItem)) return message;
  const blocks = message.blocks.map((block) => (isToolItem(block) ? editItem(block, {}) : block));
  return editItem(message, { blocks });
}

const isToolItem = ({ native }: Block): boolean =>
  isObject(native?.item) &&
  (stringifyMember(native.item.type).startsWith("custom") || native.item.namespace !== undefined);

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

/** The tools of a request as the target gets them. `sentServers`: the labels of its own tools that are sent. */
type SentTools = { functions: readonly FunctionTool[]; names: TargetNames; sentServers: ReadonlySet<string> };

/**
 * A choice names only tools that are sent: functions, under their names at the target, and the target's own tools by their
 * labels. Loss: any other name, and a call that is required without a tool.
 */
function fitChoice(choice: ToolChoice, { functions, names, sentServers }: SentTools, losses: Loss[]): ToolChoice {
  const drop = (what: string): void =>
    void losses.push({ at: "tool_choice", what: "dropped", why: `${what} is not sent` });
  const isSentServer = (label: string): boolean => {
    if (!sentServers.has(label)) drop(`the tool ${label}`);
    return sentServers.has(label);
  };
  const find = (name: string): string[] => {
    const tool =
      functions.find((one) => qualifiedNameOf(one) === name && one.namespace !== undefined) ??
      functions.find((one) => one.name === name);
    const found = names.get(toolKey(name, undefined)) ?? (tool && names.get(keyOf(tool)));
    if (found === undefined) drop(`the tool ${name}`);
    return found === undefined ? [] : [found];
  };
  if (choice.mode === "tool") {
    if (choice.isServer) return isSentServer(choice.name) ? choice : { mode: "auto" };
    const [name] = find(choice.name);
    return name === undefined ? { mode: "auto" } : { mode: "tool", name };
  }
  if (choice.among === undefined) {
    if (choice.mode !== "required" || functions.length > 0 || sentServers.size > 0) return choice;
    drop("a tool that must be called");
    return { mode: "auto" };
  }
  const among = choice.among.flatMap(find);
  const servers = (choice.servers ?? []).filter(isSentServer);
  if (among.length === 0 && servers.length === 0) return { mode: "none" };
  return { mode: choice.mode, among, ...(servers.length > 0 && { servers }) };
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
const toCalledTool = ({ name, namespace, custom }: FunctionTool): CalledTool => ({
  name,
  ...(namespace !== undefined && { namespace: namespace.name }),
  ...(custom !== undefined && { custom: true as const }),
});
