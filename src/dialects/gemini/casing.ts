import type { Json, JsonObject } from "../../wire/json.ts";

/**
 * A member under either of its spellings. The API takes both (proto3 JSON), and google-genai clients mix them in one
 * body: 57 recorded Vertex requests say `systemInstruction` beside `function_call`.
 */
export const readMember = (item: JsonObject, name: string): Json | undefined => item[name] ?? item[toSnakeCase(name)];

/** The spelling in which this body says it; camelCase when it does not. */
export const memberName = (item: JsonObject, name: string): string =>
  item[name] === undefined && item[toSnakeCase(name)] !== undefined ? toSnakeCase(name) : name;

export const toCamelCase = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

const toSnakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
