import { readNativeItem } from "../../canonical/native.ts";
import type { FunctionTool, Loss, Opaque, Tool, ToolChoice } from "../../canonical/types.ts";
import {
  isObject,
  type Json,
  type JsonObject,
  stringifyMember,
  stringOf,
  tryParseJson,
  withoutUndefined,
} from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import type { ServerTools } from "../server-tools.ts";
import { listUnshared } from "../unshared-members.ts";
import { readMember, toCamelCase, toWord, withSnakeCase } from "./casing.ts";
import { decodeSchema, encodeSchema } from "./schema.ts";

const dialect = "gemini";

/**
 * A Tool of this wire has many members: each function declaration is one canonical tool, each other member a
 * tool that Gemini runs (`googleSearch`, `codeExecution`).
 */
export function decodeTools(tools: Json | undefined): Tool[] | undefined {
  if (tools === undefined || tools === null) return undefined;
  return [tools].flat().flatMap((tool): Tool[] => {
    if (!isObject(tool)) return [{ kind: "server", label: "tool", native: { dialect, item: tool } }];
    return Object.entries(tool).flatMap(([name, value]): Tool[] => {
      const label = toCamelCase(name);
      if (label === "functionDeclarations" && Array.isArray(value)) return value.map(decodeFunction);
      return value === null ? [] : [{ kind: "server", label, native: { dialect, item: { [name]: value } } }];
    });
  });
}

/** All functions are declarations of one Tool. Loss: tools of other providers. */
export function encodeTools(tools: readonly Tool[], target: EncodeTarget, losses: Loss[]): JsonObject {
  const functions: Json[] = [];
  const others: Json[] = [];
  for (const tool of tools) {
    const ownItem = readNativeItem(tool.native, target);
    if (tool.kind === "function") functions.push(ownItem ?? encodeFunction(tool, losses));
    else if (ownItem !== undefined) others.push(ownItem);
    else losses.push({ at: `tools.${tool.label}`, what: "dropped", why: "gemini does not support this tool" });
  }
  const items = functions.length > 0 ? [{ functionDeclarations: functions }, ...others] : others;
  return items.length > 0 ? { tools: items } : {};
}

/** `parametersJsonSchema` has JSON Schema, `parameters` the older subset of OpenAPI. */
function decodeFunction(item: Json): Tool {
  const native = { dialect, item } as const;
  if (!isObject(item)) return { kind: "server", label: "function", native };
  const jsonSchema = readMember(item, "parametersJsonSchema");
  const parameters = isObject(jsonSchema)
    ? jsonSchema
    : isObject(item.parameters)
      ? decodeSchema(item.parameters)
      : undefined;
  return withoutUndefined({
    kind: "function",
    name: stringifyMember(item.name),
    description: stringOf(item.description),
    parameters,
    native,
    ...listUnshared(item, UNSHARED),
  });
}

/** What a function returns, and whether the model waits for it (Gemini API, FunctionDeclaration). */
const UNSHARED = Object.keys(withSnakeCase({ response: true, responseJsonSchema: true, behavior: true }));

/** Inverse of `decodeFunction`; the JSON Schema of the caller needs no translation to the subset. */
function encodeFunction({ name, description, parameters }: FunctionTool, losses: Loss[]): JsonObject {
  return withoutUndefined({
    name,
    description,
    parametersJsonSchema:
      parameters === undefined ? undefined : encodeSchema(parameters, `tools.${name}.parameters`, losses),
  });
}

/** `FunctionCallingConfig.Mode` by number (Gemini API, content.proto). */
export const MODES = ["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"];

/** VALIDATED is AUTO with arguments that match their schema. ANY with one name forces that function. */
export function decodeToolChoice(config: Json | undefined): ToolChoice | undefined {
  const calling = isObject(config) ? readMember(config, "functionCallingConfig") : undefined;
  if (!isObject(calling)) return undefined;
  const allowed = readMember(calling, "allowedFunctionNames");
  const names = Array.isArray(allowed) ? allowed.map(stringifyMember) : [];
  const among = names.length > 0 ? { among: names } : {};
  switch (toWord(calling.mode, MODES)) {
    case "AUTO":
    case "VALIDATED":
      return { mode: "auto", ...among };
    case "NONE":
      return { mode: "none" };
    case "ANY":
      return names.length === 1 ? { mode: "tool", name: names[0]! } : { mode: "required", ...among };
    default:
      return names.length > 0 ? { mode: "auto", ...among } : undefined;
  }
}

/**
 * Arguments match their schema (`strict`) in every mode but AUTO, and AUTO accepts no list of names: VALIDATED
 * stands for both.
 */
export function encodeToolChoice(choice: ToolChoice | undefined, tools: readonly Tool[]): JsonObject {
  if (choice?.mode === "tool") return toToolConfig({ mode: "ANY", allowedFunctionNames: [choice.name] });
  if (choice?.mode === "none") return toToolConfig({ mode: "NONE" });
  const names = choice?.among === undefined ? {} : { allowedFunctionNames: choice.among };
  if (choice?.mode === "required") return toToolConfig({ mode: "ANY", ...names });
  const isStrict = tools.some((tool) => tool.kind === "function" && tool.strict === true);
  if (isStrict || choice?.among !== undefined) return toToolConfig({ mode: "VALIDATED", ...names });
  return choice === undefined ? {} : toToolConfig({ mode: "AUTO" });
}

/** The member with its only part for functions. */
const toToolConfig = (config: JsonObject): JsonObject => ({ toolConfig: { functionCallingConfig: config } });

/**
 * `toolCall` and `toolResponse`, with which calls of tools that the host executes are shown (Gemini API, `ToolConfig`:
 * `includeServerSideToolInvocations`). The wire has types for Google's own tools only: what is called stands in the arguments.
 */
export const serverTools: ServerTools = {
  calls: {
    prefix: "tool",
    areShown: (body) => {
      const config = readMember(body, "toolConfig");
      return isObject(config) && readMember(config, "includeServerSideToolInvocations") === true;
    },
    show: ({ id, server, tool, arguments: args, text, isError }) => [
      showPart({ toolCall: { id, toolType, args: { server, tool, args: tryParseJson(args) ?? {} } } }),
      showPart({ toolResponse: { id, toolType, response: isError ? { error: text } : { output: text } } }),
    ],
  },
};

const toolType = "TOOL_TYPE_UNSPECIFIED";

const showPart = (item: JsonObject): Opaque => ({
  kind: "opaque",
  label: Object.keys(item)[0]!,
  native: { dialect, item },
});
