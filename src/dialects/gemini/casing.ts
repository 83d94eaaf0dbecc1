import { type Json, type JsonObject, numberOf } from "../../wire/json.ts";

/**
 * A member in either spelling. The API accepts both (proto3 JSON mapping), and clients of google-genai mix them
 * in one body: 57 recorded requests to Vertex have `systemInstruction` beside `function_call`.
 */
export const readMember = (item: JsonObject, name: string): Json | undefined => item[name] ?? item[toSnakeCase(name)];

/** A number, which may be written as a text (proto3 JSON mapping). */
export const readNumber = (item: JsonObject, name: string): number | undefined => {
  const value = readMember(item, name);
  const number = typeof value === "string" && NUMBER.test(value) ? Number(value) : numberOf(value);
  return Number.isFinite(number) ? number : undefined;
};

const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;

/** A word of an enumeration, in capitals; its number may stand for it (proto3 JSON mapping). `words`: by their numbers. */
export const toWord = (value: unknown, words: readonly string[]): unknown =>
  typeof value === "number" ? (words[value] ?? value) : typeof value === "string" ? value.toUpperCase() : value;

/** The spelling that this body has; camelCase if the member is absent. */
export const memberName = (item: JsonObject, name: string): string =>
  item[name] === undefined && item[toSnakeCase(name)] !== undefined ? toSnakeCase(name) : name;

export const toCamelCase = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** The members of a schema in both spellings. */
export const withSnakeCase = <T>(members: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(
    Object.entries(members).flatMap(([name, member]) => [
      [name, member],
      [toSnakeCase(name), member],
    ]),
  );

const toSnakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
