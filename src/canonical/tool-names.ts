import { sha256 } from "../wire/hash.ts";
import { customArguments, readCustomInput } from "./custom-tools.ts";
import type { FunctionTool, Message, ModelResponse, StreamEvent, ToolCall } from "./types.ts";

/** What a target accepts as a tool. `name`: the pattern of its names; `maxName`: their maximum length. */
export type ToolRules = {
  name: RegExp;
  maxName: number;
  /** The target has custom tools, which take free text. */
  hasCustom?: boolean;
  /** The target has namespaces of tools. */
  hasNamespaces?: boolean;
  /** A choice can be restricted to some of the tools that are sent. */
  hasAllowedTools?: boolean;
  /** Tools of every dialect that a provider runs itself are sent on. */
  forwardsServerTools?: boolean;
};

/** The tools that a target knows under another name or in another form, by the name there. */
export type ToolAliases = ReadonlyMap<string, CalledTool>;
/** The members of a call that name its tool. */
export type CalledTool = Pick<ToolCall, "name" | "namespace" | "custom">;

/** One name for a tool and its namespace: `{namespace}__{name}`. */
export const qualifyName = (name: string, namespace: string | undefined): string =>
  namespace === undefined ? name : `${namespace}__${name}`;

/** The name of a tool in a choice, and on wires without namespaces. */
export const qualifiedNameOf = ({ name, namespace }: Pick<FunctionTool, "name" | "namespace">): string =>
  qualifyName(name, namespace?.name);

/** Tells tools apart, also where the qualified name of one is the name of another. */
export const toolKey = (name: string, namespace: string | undefined): string =>
  JSON.stringify([name, namespace ?? null]);

/** Characters of a hash that make a changed name unique. */
const HASH_LENGTH = 8;

/**
 * A name that the target accepts: `name` if it can stay, otherwise its permitted characters and a part of its hash. The
 * same name always gives the same result, so tools, choice and history agree and a retry has the same bytes.
 */
export function fitToolName(name: string, { name: pattern, maxName }: Pick<ToolRules, "name" | "maxName">): string {
  if (name === "" || pattern.test(name)) return name;
  const hash = Buffer.from(sha256(name), "base64url").toString("hex").slice(0, HASH_LENGTH);
  const permitted = name.replaceAll(/[^a-zA-Z0-9_-]/g, "_");
  const start = /^[a-zA-Z_]/.test(permitted) ? permitted : `_${permitted}`;
  return `${start.slice(0, maxName - HASH_LENGTH - 1)}_${hash}`;
}

/** Replaces the target's names in an answer by those of the request. Only the view changes: `native` stays as received. */
export function restoreResponse(response: ModelResponse, aliases: ToolAliases | undefined): ModelResponse {
  if (aliases === undefined) return response;
  const messages = restoreMessages(response.messages, aliases);
  return { ...response, messages, ...restoreAlternatives(response, aliases) };
}

/** The same for one event of a stream. */
export function restoreEvent(event: StreamEvent, aliases: ToolAliases): StreamEvent {
  if (event.type === "open" || event.type === "close") {
    if (event.block.kind !== "tool_call") return event;
    const block = restoreCall(event.block, aliases);
    if (event.type === "close" || block.custom === event.block.custom) return { ...event, block };
    // The id of a wire item belongs to its type.
    const { id: _, ...opened } = event;
    return { ...opened, block };
  }
  return event.type === "end" ? { ...event, ...restoreAlternatives(event, aliases) } : event;
}

const restoreAlternatives = (
  { alternatives }: Pick<ModelResponse, "alternatives">,
  aliases: ToolAliases,
): Pick<ModelResponse, "alternatives"> =>
  alternatives === undefined
    ? {}
    : { alternatives: alternatives.map((other) => ({ ...other, messages: restoreMessages(other.messages, aliases) })) };

const restoreMessages = (messages: readonly Message[], aliases: ToolAliases): Message[] =>
  messages.map((message) => mapCalls(message, (call) => restoreCall(call, aliases)));

function restoreCall(call: ToolCall, aliases: ToolAliases): ToolCall {
  const tool = call.namespace === undefined ? aliases.get(call.name) : undefined;
  return tool === undefined ? call : nameCall(call, tool);
}

/** The call as one of this tool. Only the view changes: `native` stays as received. */
export function nameCall(
  call: ToolCall,
  { name, namespace = call.namespace, custom = call.custom }: CalledTool,
): ToolCall {
  if (name === call.name && namespace === call.namespace && custom === call.custom) return call;
  // An opened call has no arguments yet.
  const isFunctionForm = custom === true && !call.custom && call.arguments !== "";
  return {
    ...call,
    name,
    ...(namespace !== undefined && { namespace }),
    ...(custom && { custom }),
    ...(isFunctionForm && { arguments: customArguments(readCustomInput(call.arguments)) }),
  };
}

/** The message with changed calls; the same object if none changes. */
export function mapCalls(message: Message, change: (call: ToolCall) => ToolCall): Message {
  let hasChanged = false;
  const blocks = message.blocks.map((block) => {
    if (block.kind !== "tool_call") return block;
    const changed = change(block);
    hasChanged ||= changed !== block;
    return changed;
  });
  return hasChanged ? { ...message, blocks } : message;
}
