import { verbatim } from "../../canonical/native.ts";
import type { FunctionTool, Loss, Tool, ToolChoice } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, stringOf, withoutUndefined } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";
import { readMember, toCamelCase } from "./casing.ts";
import { decodeSchema, encodeSchema } from "./schema.ts";

const dialect = "gemini";

/** Gemini's Tool holds many tools: each function is one here, and each member of another name a tool that Gemini runs. */
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

export function encodeTools(tools: readonly Tool[], target: EncodeTarget, losses: Loss[]): JsonObject {
  const functions: Json[] = [];
  const others: Json[] = [];
  for (const tool of tools) {
    const ownItem = verbatim(tool.native, target);
    if (tool.kind === "function") functions.push(ownItem ?? encodeFunction(tool, losses));
    else if (ownItem !== undefined) others.push(ownItem);
    else losses.push({ at: `tools.${tool.label}`, what: "dropped", why: "gemini has no such tool" });
  }
  const items = functions.length > 0 ? [{ functionDeclarations: functions }, ...others] : others;
  return items.length > 0 ? { tools: items } : {};
}

/** VALIDATED is AUTO with checked arguments. */
export function decodeToolChoice(config: Json | undefined): ToolChoice | undefined {
  const calling = isObject(config) ? readMember(config, "functionCallingConfig") : undefined;
  if (!isObject(calling)) return undefined;
  const allowed = readMember(calling, "allowedFunctionNames");
  const names = Array.isArray(allowed) ? allowed.map(stringifyMember) : [];
  const among = names.length > 0 ? { among: names } : {};
  switch (stringifyMember(calling.mode).toUpperCase()) {
    case "AUTO":
    case "VALIDATED":
      return { mode: "auto", ...among };
    case "NONE":
      return { mode: "none" };
    case "ANY":
      return names.length === 1 ? { mode: "tool", name: names[0]! } : { mode: "required", ...among };
    default:
      return undefined;
  }
}

/** Functions that must be called as declared (`strict`) are so in every mode but AUTO, which takes no list of names either. */
export function encodeToolChoice(choice: ToolChoice | undefined, tools: readonly Tool[]): JsonObject {
  if (choice?.mode === "tool") return toToolConfig({ mode: "ANY", allowedFunctionNames: [choice.name] });
  if (choice?.mode === "none") return toToolConfig({ mode: "NONE" });
  const names = choice?.among === undefined ? {} : { allowedFunctionNames: choice.among };
  if (choice?.mode === "required") return toToolConfig({ mode: "ANY", ...names });
  const isStrict = tools.some((tool) => tool.kind === "function" && tool.strict === true);
  if (isStrict || choice?.among !== undefined) return toToolConfig({ mode: "VALIDATED", ...names });
  return choice === undefined ? {} : toToolConfig({ mode: "AUTO" });
}

const toToolConfig = (config: JsonObject): JsonObject => ({ toolConfig: { functionCallingConfig: config } });

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
  });
}

function encodeFunction({ name, description, parameters }: FunctionTool, losses: Loss[]): JsonObject {
  return withoutUndefined({
    name,
    description,
    parametersJsonSchema:
      parameters === undefined ? undefined : encodeSchema(parameters, `tools.${name}.parameters`, losses),
  });
}
