import { z } from "zod";
import { EFFORT_NAMES } from "../canonical/reasoning.ts";
import { isObject, type Json, numberOf } from "../wire/json.ts";

/**
 * Schemas for `BodyLayout.members`: what the gateway understands of a request. `null` stands for an absent member. A text
 * that is none of the words that the gateway knows is a loss, because APIs get new ones; a value of another type is an
 * error.
 */

/** Read elsewhere, or without influence on the answer. */
export const anything = z.unknown().optional();

/** Also one that JavaScript cannot represent exactly. */
export const number = z.custom<Json>((value) => numberOf(value as Json) !== undefined, "expected number").nullish();

export const boolean = z.boolean().nullish();
export const text = z.string().nullish();
export const object = z.looseObject({}).nullish();

// Checked as a whole: one issue, however long the list is.
export const texts = listOf((item) => typeof item === "string", "expected a list of texts");
export const objects = listOf(isObject, "expected a list of objects");

function listOf(isItem: (item: Json) => boolean, expected: string): z.ZodType {
  return z.custom<Json>((value) => Array.isArray(value) && (value as Json[]).every(isItem), expected).nullish();
}

/** A member of which the gateway knows one value: that of a request without it. Any other value is a loss. */
export const only = (value: Json): z.ZodType =>
  z
    .unknown()
    .refine((given) => JSON.stringify(given) === JSON.stringify(value), { params: { isUnknown: true } })
    .nullish();

/** How many answers. */
export const count = z.int().min(1).nullish();

/** Not absent. */
export const oneOf = (...words: readonly string[]): z.ZodType => z.string().pipe(z.enum(words));

export const effort = oneOf(...EFFORT_NAMES).nullish();

/** `decode` understands an object that names a tool. */
export const toolChoice = (decode: (choice: Json) => unknown, ...words: readonly string[]): z.ZodType =>
  z
    .union([
      oneOf(...words),
      z.looseObject({}).refine((choice) => decode(choice as Json) !== undefined, "expected the name of a tool"),
    ])
    .nullish();
