import type { Loss } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";

const ALTERNATIVES = ["anyOf", "oneOf", "allOf"] as const;

/** "tools.0.custom.input_schema.type: Field required", and no alternatives at the top level: their properties are joined. */
export function asObjectSchema(schema: Json, at: string, losses: Loss[]): JsonObject {
  const from = isObject(schema) ? schema : {};
  const used = ALTERNATIVES.filter((word) => Array.isArray(from[word]));
  if (used.length === 0) return from.type === "object" ? from : { ...from, type: "object" };
  losses.push({ at, what: "approximated", why: `anthropic takes no ${used.join(", ")} at the top of a schema` });
  const branches = used.flatMap((word) => from[word] as Json[]).filter(isObject);
  const properties = Object.assign({}, ...[...branches, from].map((branch) => branch.properties)) as JsonObject;
  const rest = Object.fromEntries(Object.entries(from).filter(([word]) => !used.some((one) => one === word)));
  return { ...rest, type: "object", properties };
}

/** Words that structured outputs and strict tools know (Anthropic, "JSON Schema limitations"); others are a 400. */
const KNOWN = new Set(
  (
    "$schema $id $ref $defs definitions $anchor $comment type enum const default title description " +
    "anyOf allOf properties required additionalProperties items format"
  ).split(" "),
);
const FORMATS = new Set("date-time time date duration email hostname uri ipv4 ipv6 uuid".split(" "));

/**
 * A schema for where the API compiles it: objects are closed, and a constraint it cannot hold stands in the
 * description, where Anthropic's own SDKs put it, so that the model still reads it.
 */
export function toSupportedSchema(schema: Json, at: string, losses: Loss[]): Json {
  const unsaid = new Set<string>();
  const value = lower(schema, unsaid);
  if (unsaid.size > 0) {
    const why = `anthropic enforces no ${[...unsaid].join(", ")}: said in descriptions`;
    losses.push({ at, what: "approximated", why });
  }
  return value;
}

function lower(schema: Json, unsaid: Set<string>): Json {
  if (!isObject(schema)) return schema;
  const out: JsonObject = {};
  const constraints: string[] = [];
  for (const [word, value] of Object.entries(schema)) {
    if (word === "oneOf" && schema.anyOf === undefined) out.anyOf = lowerAll(value, unsaid);
    else if (isKnown(word, value)) out[word] = lowerMember(word, value, unsaid);
    else {
      unsaid.add(word);
      constraints.push(`${word}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
    }
  }
  if (schema.type === "object" || isObject(schema.properties)) {
    if (schema.additionalProperties !== undefined && schema.additionalProperties !== false)
      unsaid.add("additionalProperties");
    out.additionalProperties = false;
  }
  if (constraints.length === 0) return out;
  const described = typeof schema.description === "string" ? `${schema.description}\n\n` : "";
  return { ...out, description: `${described}{${constraints.join(", ")}}` };
}

function isKnown(word: string, value: Json): boolean {
  if (word === "format") return FORMATS.has(stringifyMember(value));
  return KNOWN.has(word) || (word === "minItems" && (value === 0 || value === 1));
}

function lowerMember(word: string, value: Json, unsaid: Set<string>): Json {
  if (word === "properties" || word === "$defs" || word === "definitions") {
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, lower(inner, unsaid)]));
  }
  if (word === "anyOf" || word === "allOf") return lowerAll(value, unsaid);
  return word === "items" ? lower(value, unsaid) : value;
}

const lowerAll = (value: Json, unsaid: Set<string>): Json =>
  Array.isArray(value) ? value.map((inner) => lower(inner, unsaid)) : value;
