import type { Loss } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";

/** Keywords that the API refuses at the top level of a schema. */
const ALTERNATIVES = ["anyOf", "oneOf", "allOf"] as const;

/**
 * A schema that the API accepts for a tool: with a type ("tools.0.custom.input_schema.type: Field required")
 * and without alternatives at the top level, whose properties are merged. Loss: the alternatives.
 */
export function toObjectSchema(schema: Json, at: string, losses: Loss[]): JsonObject {
  const from = isObject(schema) ? schema : {};
  const used = ALTERNATIVES.filter((keyword) => Array.isArray(from[keyword]));
  if (used.length === 0) return from.type === "object" ? from : { ...from, type: "object" };
  losses.push({
    at,
    what: "approximated",
    why: `anthropic does not accept ${used.join(", ")} at the top level of a schema`,
  });
  const branches = used.flatMap((keyword) => from[keyword] as Json[]).filter(isObject);
  const properties = Object.assign({}, ...[...branches, from].map((branch) => branch.properties)) as JsonObject;
  const rest = Object.fromEntries(Object.entries(from).filter(([keyword]) => !used.some((one) => one === keyword)));
  return { ...rest, type: "object", properties };
}

/**
 * Keywords of structured outputs and strict tools (Anthropic API, "JSON Schema limitations"); any other is a
 * 400.
 */
const SUPPORTED_KEYWORDS = new Set(
  (
    "$schema $id $ref $defs definitions $anchor $comment type enum const default title description " +
    "anyOf allOf properties required additionalProperties items format"
  ).split(" "),
);
/** Values of `format`, from the same list. */
const SUPPORTED_FORMATS = new Set("date-time time date duration email hostname uri ipv4 ipv6 uuid".split(" "));

/**
 * A schema for places where the API compiles it: objects are closed, and unsupported constraints go into the
 * description, where the SDKs of Anthropic put them, so that the model still reads them. Loss: those
 * constraints.
 */
export function toSupportedSchema(schema: Json, at: string, losses: Loss[]): Json {
  const unsupported = new Set<string>();
  const value = convert(schema, unsupported);
  if (unsupported.size > 0) {
    const why = `anthropic does not enforce ${[...unsupported].join(", ")}: moved to descriptions`;
    losses.push({ at, what: "approximated", why });
  }
  return value;
}

/** Adds the unsupported keywords to `unsupported`. */
function convert(schema: Json, unsupported: Set<string>): Json {
  if (!isObject(schema)) return schema;
  const out: JsonObject = {};
  const constraints: string[] = [];
  for (const [keyword, value] of Object.entries(schema)) {
    if (keyword === "oneOf" && schema.anyOf === undefined) out.anyOf = convertAll(value, unsupported);
    else if (isSupported(keyword, value)) out[keyword] = convertMember(keyword, value, unsupported);
    else {
      unsupported.add(keyword);
      constraints.push(`${keyword}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
    }
  }
  if (schema.type === "object" || isObject(schema.properties)) {
    if (schema.additionalProperties !== undefined && schema.additionalProperties !== false)
      unsupported.add("additionalProperties");
    out.additionalProperties = false;
  }
  if (constraints.length === 0) return out;
  const described = typeof schema.description === "string" ? `${schema.description}\n\n` : "";
  return { ...out, description: `${described}{${constraints.join(", ")}}` };
}

/** `minItems` is supported with the values 0 and 1 only. */
function isSupported(keyword: string, value: Json): boolean {
  if (keyword === "format") return SUPPORTED_FORMATS.has(stringifyMember(value));
  return SUPPORTED_KEYWORDS.has(keyword) || (keyword === "minItems" && (value === 0 || value === 1));
}

function convertMember(keyword: string, value: Json, unsupported: Set<string>): Json {
  if (keyword === "properties" || keyword === "$defs" || keyword === "definitions") {
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, convert(inner, unsupported)]));
  }
  if (keyword === "anyOf" || keyword === "allOf") return convertAll(value, unsupported);
  return keyword === "items" ? convert(value, unsupported) : value;
}

const convertAll = (value: Json, unsupported: Set<string>): Json =>
  Array.isArray(value) ? value.map((inner) => convert(inner, unsupported)) : value;
