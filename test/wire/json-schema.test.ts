import { Validator } from "@cfworker/json-schema";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { findMismatch, loadPatterns } from "../../src/wire/json-schema.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";

beforeAll(() => loadPatterns({ pattern: "x" }));

const object = (properties: JsonObject, more: JsonObject = {}): JsonObject => ({ type: "object", properties, ...more });
const nested = (depth: number): JsonObject => {
  const $defs = Object.fromEntries(
    Array.from({ length: depth }, (_, i) => [`a${i}`, { anyOf: [1, 2].map(() => ({ $ref: `#/$defs/a${i + 1}` })) }]),
  );
  return { $ref: "#/$defs/a0", $defs: { ...$defs, [`a${depth}`]: { type: "string" } } };
};

const deep = (open: string, inner: string, close: string): Json =>
  JSON.parse(open.repeat(4_000) + inner + close.repeat(4_000)) as Json;
const LISTS: JsonObject = { $ref: "#/$defs/a", $defs: { a: { items: { $ref: "#/$defs/a" } } } };
const BACKTRACKING = "^(a+)+$";
const AS = "a".repeat(60);

describe("a value is checked in bounded time", () => {
  // As functions: a test's name would be made of them otherwise.
  it.each<[string, () => JsonObject, () => Json, RegExp | undefined]>([
    ["a pattern that backtracks", () => object({ x: { pattern: BACKTRACKING } }), () => ({ x: `${AS}!` }), /not match/],
    ["one that matches", () => object({ x: { pattern: BACKTRACKING } }), () => ({ x: AS }), undefined],
    [
      "one of names",
      () => ({ patternProperties: { [BACKTRACKING]: { type: "string" } } }),
      () => ({ [`${AS}!`]: 1 }),
      undefined,
    ],
    [
      "one of all names",
      () => ({ propertyNames: { pattern: BACKTRACKING } }),
      () => ({ [`${AS}!`]: 1 }),
      /does not match/,
    ],
    ["references that double", () => nested(60), () => 1, /too many steps/],
    ["unique items", () => ({ uniqueItems: true }), () => Array.from({ length: 60_000 }, (_, i) => i), undefined],
    ["a deep schema", () => deep('{"not":', "true", "}") as JsonObject, () => 1, /too many steps/],
    ["a deep value", () => LISTS, () => deep("[", "", "]"), /too many steps/],
  ])("%s", (_, schema, value, problem) => {
    const found = findMismatch(schema(), value());
    if (problem === undefined) expect(found).toBeUndefined();
    else expect(found).toMatch(problem);
  });
});

describe("a pattern", () => {
  it.each<[string, JsonObject, Json, boolean]>([
    ["is tested beside a format", object({ x: { pattern: "^a", format: "email" } }), { x: "b@c.de" }, false],
    ["and the format beside it", object({ x: { pattern: "^a", format: "email" } }), { x: "abc" }, false],
    ["with look-ahead is not tested", object({ x: { pattern: "^(?!b)" } }), { x: "b" }, true],
    [
      "that is none leaves the rest of the schema in force",
      object({ x: { pattern: "(" }, y: { type: "string" } }),
      { x: "", y: 1 },
      false,
    ],
    ["of names gives properties their schemas", { patternProperties: { "^n": { type: "number" } } }, { n1: "" }, false],
    [
      "adds to those they have",
      object({ n1: { minimum: 5 } }, { patternProperties: { "^n": { type: "number" } } }),
      { n1: 3 },
      false,
    ],
    [
      "names what is not additional",
      { patternProperties: { "^n": true }, additionalProperties: false },
      { n1: "" },
      true,
    ],
    ["and what is", { patternProperties: { "^n": true }, additionalProperties: false }, { m: "" }, false],
    [
      "of names with look-ahead allows all names",
      { patternProperties: { "^(?!n)": true }, additionalProperties: false },
      { n: "" },
      true,
    ],
    ["as the name of a property is one", object({ pattern: { type: "string" } }), { pattern: 1 }, false],
    ["in a value that is compared is no keyword", { enum: [{ pattern: "x" }] }, { pattern: "x" }, true],
  ])("%s", (_, schema, value, isValid) => {
    expect(findMismatch(schema, value) === undefined).toBe(isValid);
  });
});

it("a schema says the same as by the validator alone, where that takes no risk", () => {
  const leaf = fc.constantFrom<Json>("", "ab", "b1", 0, 7, true, null, [], ["ab", "ab"], {});
  const value = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      leaf,
      fc.dictionary(fc.constantFrom("a", "b1", "n"), tie("value")),
      fc.array(tie("value"), { maxLength: 3 }),
    ),
  })).value;
  const leaves = {
    type: fc.constantFrom("string", "number", "object", "array", "null"),
    pattern: fc.constantFrom("^a", "\\d", "^[a-z]+$"),
    format: fc.constantFrom("email", "date"),
    additionalProperties: fc.boolean(),
    uniqueItems: fc.boolean(),
  };
  const schema = fc.letrec<{ schema: JsonObject }>((tie) => ({
    schema: fc.oneof(
      { maxDepth: 3 },
      fc.record(leaves, { requiredKeys: [] }) as fc.Arbitrary<JsonObject>,
      fc.record(
        {
          ...leaves,
          properties: fc.dictionary(fc.constantFrom("a", "b1"), tie("schema"), { maxKeys: 2 }),
          patternProperties: fc.dictionary(fc.constantFrom("^a", "\\d"), tie("schema"), { maxKeys: 2 }),
          items: tie("schema"),
          not: tie("schema"),
          anyOf: fc.array(tie("schema"), { minLength: 1, maxLength: 2 }),
          propertyNames: tie("schema"),
        },
        { requiredKeys: [] },
      ) as fc.Arbitrary<JsonObject>,
    ),
  })).schema;
  fc.assert(
    fc.property(schema, value, (rules, one) => {
      const alone = new Validator(structuredClone(rules), "2020-12").validate(one);
      expect(findMismatch(rules, one) === undefined).toBe(alone.valid);
    }),
    { numRuns: 2_000 },
  );
});
