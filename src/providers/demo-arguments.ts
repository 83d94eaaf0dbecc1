import { isObject, type Json, type JsonObject, numberOf } from "../wire/json.ts";
import { cutText } from "../wire/surrogates.ts";

/** A schema and a message must not choose how much memory their sample takes. Characters. */
const MAX_TEXT = 200;

/** The simplest value of a JSON schema: the first choice, the required members. Strings are the start of `message`. */
export const createSample = (schema: Json, message: string): Json => sampleOf(schema, cutText(message, MAX_TEXT));

function sampleOf(schema: Json, text: string): Json {
  if (!isObject(schema)) return text;
  const { type, anyOf, oneOf } = schema;
  if (schema.const !== undefined) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum[0] ?? null;
  const choices = anyOf ?? oneOf;
  if (Array.isArray(choices)) return sampleOf(choices[0] ?? {}, text);
  const [name] = Array.isArray(type) ? type : [type];
  const sample = SAMPLES[typeof name === "string" && Object.hasOwn(SAMPLES, name) ? name : "object"]!;
  return sample(schema, text);
}

/** By JSON Schema's `type`. */
const SAMPLES: Record<string, (schema: JsonObject, text: string) => Json> = {
  string: (_, text) => text,
  integer: ({ minimum }) => numberOf(minimum) ?? 1,
  number: ({ minimum }) => numberOf(minimum) ?? 1,
  boolean: () => true,
  null: () => null,
  // At most one item: nested lists would multiply.
  array: ({ items, minItems }, text) => ((numberOf(minItems) ?? 0) < 1 ? [] : [sampleOf(items ?? {}, text)]),
  object: ({ properties, required }, text) => {
    const names = Array.isArray(required) ? required : [];
    const members = Object.entries(isObject(properties) ? properties : {}).filter(([name]) => names.includes(name));
    return Object.fromEntries(members.map(([name, one]) => [name, sampleOf(one, text)]));
  },
};
