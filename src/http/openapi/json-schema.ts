/** A schema in JSON Schema 2020-12, the dialect of OpenAPI 3.1. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/** Components by name. They are built when the document is requested, so that they cost nothing at start. */
export type Components = Record<string, JsonSchema>;

export const text: JsonSchema = { type: "string" };
export const integer: JsonSchema = { type: "integer" };
export const number: JsonSchema = { type: "number" };
export const flag: JsonSchema = { type: "boolean" };
/** RFC 3339. */
export const time: JsonSchema = { type: "string", format: "date-time" };
/** Bytes. */
export const binary: JsonSchema = { type: "string", format: "binary" };
/** Any JSON value. */
export const anything: JsonSchema = {};
/** An object whose members are not the gateway's to describe. */
export const openObject: JsonSchema = { type: "object", additionalProperties: true };

/** A reference to a component. */
export const ref = (name: string): { $ref: string } => ({ $ref: `#/components/schemas/${name}` });
export const literal = (value: string | boolean): JsonSchema => ({ const: value });
export const oneOf = (...values: string[]): JsonSchema => ({ type: "string", enum: values });
export const arrayOf = (items: JsonSchema): JsonSchema => ({ type: "array", items });
export const mapOf = (values: JsonSchema): JsonSchema => ({ type: "object", additionalProperties: values });

/** The schema with a description. */
export const describe = (schema: JsonSchema, description: string): JsonSchema => ({ ...schema, description });

/** The schema or null. */
export const nullable = (schema: JsonSchema): JsonSchema =>
  typeof schema.type === "string" && schema.enum === undefined
    ? { ...schema, type: [schema.type, "null"] }
    : { anyOf: [schema, { type: "null" }] };

/**
 * An object. A member whose name ends in `?` may be absent. Members that are not named are allowed: clients accept what
 * later versions, and providers, add.
 */
export function object(members: Record<string, JsonSchema>, description?: string): JsonSchema {
  const properties = Object.fromEntries(Object.entries(members).map(([name, schema]) => [nameOf(name), schema]));
  const required = Object.keys(members).filter((name) => !name.endsWith("?"));
  return {
    type: "object",
    ...(description !== undefined && { description }),
    properties,
    ...(required.length > 0 && { required }),
  };
}

const nameOf = (member: string): string => member.replace(/\?$/, "");

/** One of several components, distinguished by the value of one member. */
export function union(member: string, components: Record<string, string>, description?: string): JsonSchema {
  const names = [...new Set(Object.values(components))];
  const mapping = Object.fromEntries(Object.entries(components).map(([value, name]) => [value, ref(name).$ref]));
  return {
    ...(description !== undefined && { description }),
    oneOf: names.map(ref),
    discriminator: { propertyName: member, mapping },
  };
}

/** A page of a list of the component `name`, as `pageOf` in pages.ts makes it of schemas that check. */
export const pageSchema = (name: string): JsonSchema =>
  object({
    object: literal("list"),
    data: arrayOf(ref(name)),
    has_more: flag,
    last_id: describe(nullable(text), "What to send as `after` for the next page."),
  });
