import type { Json, JsonObject } from "../../wire/json.ts";

/**
 * A member in either spelling. The API accepts both (proto3 JSON mapping), and clients of google-genai mix them
 * in one body: 57 recorded requests to Vertex have `systemInstruction` beside `function_call`.
 */
export const readMember = (item: JsonObject, name: string): Json | undefined => item[name] ?? item[toSnakeCase(name)];

/** The spelling that this body has; camelCase if the member is absent. */
export const memberName = (item: JsonObject, name: string): string =>
  item[name] === undefined && item[toSnakeCase(name)] !== undefined ? toSnakeCase(name) : name;

export const toCamelCase = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** The names of members, and of those within them, in both spellings. */
export const withSnakeCase = (names: Readonly<Record<string, readonly string[]>>): Record<string, string[]> =>
  Object.fromEntries(
    Object.entries(names).flatMap(([member, within]) => {
      const both = within.flatMap((name) => [name, toSnakeCase(name)]);
      return [
        [member, both],
        [toSnakeCase(member), both],
      ];
    }),
  );

const toSnakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
