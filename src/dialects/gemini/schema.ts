import type { Loss } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";
import { toCamelCase } from "./casing.ts";

/**
 * The Schema of Gemini (a subset of OpenAPI: upper-case types, `nullable`, counts as strings) as JSON Schema.
 */
export function decodeSchema(schema: Json): Json {
  if (!isObject(schema)) return schema;
  const result: JsonObject = {};
  for (const [name, value] of Object.entries(schema)) {
    const member = toCamelCase(name);
    const decoded = decodeMember(member, value);
    if (decoded !== undefined) result[member] = decoded;
  }
  return schema.nullable === true ? addNull(result) : result;
}

/**
 * JSON Schema for `parametersJsonSchema` and `responseJsonSchema`. Unknown keywords are ignored there; but
 * beside `$ref` only members with a `$` are allowed (comment of the API definition), and `const` is unknown.
 * Loss: members beside a `$ref`.
 */
export function encodeSchema(schema: Json, at: string, losses: Loss[]): Json {
  if (Array.isArray(schema)) return schema.map((one) => encodeSchema(one, at, losses));
  if (!isObject(schema)) return schema;
  const { $schema: _, const: constant, ...members } = schema;
  if (typeof members.$ref === "string") {
    const dollarMembers = Object.entries(members).filter(([name]) => name.startsWith("$"));
    if (dollarMembers.length < Object.keys(members).length)
      losses.push({ at, what: "approximated", why: "gemini accepts no other keywords beside a $ref" });
    return Object.fromEntries(dollarMembers.map(([name, value]) => [name, encodeSchema(value, at, losses)]));
  }
  const result: JsonObject = {};
  for (const [name, value] of Object.entries(members)) result[name] = encodeMember(name, value, at, losses);
  return constant === undefined ? result : { ...result, ...encodeConstant(constant, at, losses) };
}

/** A choice of one value. Loss: a list or an object, which a choice cannot have. */
function encodeConstant(constant: Json, at: string, losses: Loss[]): JsonObject {
  if (constant === null) return { type: "null" };
  if (!Array.isArray(constant) && !isObject(constant)) return { enum: [constant] };
  losses.push({ at, what: "approximated", why: "gemini accepts no constants that are lists or objects" });
  return {};
}

/** JSON Schema has no `propertyOrdering`; `nullable` is handled by the caller. */
function decodeMember(member: string, value: Json): Json | undefined {
  if (member === "nullable" || member === "propertyOrdering") return undefined;
  if (member === "type") return value === "TYPE_UNSPECIFIED" ? undefined : lowerCaseType(value);
  if (member === "properties" || member === "$defs" || member === "defs") return mapMembers(value, decodeSchema);
  if (member === "items" || member === "additionalProperties") return decodeSchema(value);
  if (member === "anyOf" || member === "prefixItems") return Array.isArray(value) ? value.map(decodeSchema) : value;
  if (COUNT_KEYWORDS.has(member) && typeof value === "string") return Number(value);
  return value;
}

function encodeMember(name: string, value: Json, at: string, losses: Loss[]): Json {
  // Names of properties belong to the caller, and so do the values of examples and defaults.
  if (name === "properties" || name === "$defs" || name === "definitions" || name === "patternProperties")
    return mapMembers(value, (one) => encodeSchema(one, at, losses));
  return NOT_SCHEMAS.has(name) ? value : encodeSchema(value, at, losses);
}

const lowerCaseType = (type: Json): Json => (typeof type === "string" ? type.toLowerCase() : type);

/** JSON Schema has null as a type, not as a flag. */
function addNull(schema: JsonObject): JsonObject {
  const { type, anyOf } = schema;
  if (Array.isArray(anyOf)) return { ...schema, anyOf: [...anyOf, { type: "null" }] };
  const values = Array.isArray(schema.enum) ? { enum: [...schema.enum, null] } : {};
  return type === undefined ? schema : { ...schema, ...values, type: [stringifyMember(type), "null"] };
}

const mapMembers = (value: Json, change: (schema: Json) => Json): Json =>
  isObject(value) ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, change(one)])) : value;

/** int64 is a string in proto3 JSON. */
const COUNT_KEYWORDS = new Set(["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"]);
/** Keywords whose values are no schemas. */
const NOT_SCHEMAS = new Set(["enum", "examples", "example", "default", "required", "type"]);
