import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonError, MAX_DEPTH, parseJson } from "../../src/wire/json.ts";
import { scanObject } from "../../src/wire/scan.ts";
import { editMembers, findElements, findMembers, sliceSpan } from "../../src/wire/splice.ts";
import { recordings } from "../support/recordings.ts";

/** JSON objects the ways different clients write them. */
const texts = fc
  .tuple(
    fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue({ maxDepth: 4 })),
    fc.constantFrom<(value: unknown) => string>(
      (value) => JSON.stringify(value),
      (value) => ` \r\n${JSON.stringify(value, null, "\t")} \n`,
      (value) =>
        JSON.stringify(value).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`),
    ),
  )
  .map(([value, write]) => write(value));

function expectAsParsed(text: string): void {
  const { members } = scanObject(text);
  expect(members.map(({ elements: _, ...member }) => member)).toEqual(findMembers(text));
  for (const { value, elements } of members)
    expect(elements).toEqual(text[value.start] === "[" ? findElements(text, value.start) : undefined);
  const found = members.map(({ key, value }) => [key, parseJson(sliceSpan(text, value))]);
  expect(Object.fromEntries(found)).toEqual({ ...(parseJson(text) as object) });
}

describe("one scan of an object", () => {
  it("finds what a parser finds, in any spelling", () => {
    fc.assert(fc.property(texts, expectAsParsed), { numRuns: 300 });
  });

  it.each(["openai-chat", "openai-responses", "anthropic", "gemini"] as const)(
    "finds what a parser finds in the recorded requests of %s",
    (dialect) => {
      const requests = recordings(dialect).flatMap(({ request }) => (request === undefined ? [] : [request]));
      expect(requests.length).toBeGreaterThan(0);
      for (const request of requests) expectAsParsed(JSON.stringify(request));
    },
  );

  it.each([
    ['{"a":1234567890123456}', true],
    ['{"a":[{"b":-12345678.90123456}]}', true],
    ['{"a":123456789012345,"b":["1234567890123456789"]}', false],
    ['{"a":{"b":[1.5,2e300]}}', false],
  ])("knows whether there may be a long number in %s", (text, expected) => {
    expect(scanObject(text).hasLongNumber).toBe(expected);
  });

  it("never misses a number that is changed by a double", () => {
    fc.assert(
      fc.property(fc.bigInt(), fc.boolean(), (number, isNested) => {
        const text = isNested ? `{"a":[{"b":${number}}]}` : `{"a": ${number} }`;
        const isExact = JSON.stringify(JSON.parse(text)) === text.replaceAll(" ", "");
        expect(isExact || scanObject(text).hasLongNumber).toBe(true);
      }),
    );
  });

  it.each([
    "",
    "7",
    "[]",
    "null",
    '"{}"',
    "{",
    '{"a"',
    '{"a":',
    '{"a":}',
    '{"a":1,}',
    '{,"a":1}',
    '{"a":1 "b":2}',
    '{"a" 1}',
    "{a:1}",
    '{"a":[1,]}',
    '{"a":[1 2]}',
    '{"a":tru}',
    '{"a":"x}',
    '{"a":{"b":1}',
    '{"a":1}x',
    '{"a":1}{}',
    '{"\\x":1}',
    "\ufeff{}",
  ])("refuses %s", (text) => {
    expect(() => scanObject(text)).toThrow(JsonError);
  });

  it("refuses an object that nests too deep, in time that grows with its length only", () => {
    const nested = (depth: number): string => `{"a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
    expect(scanObject(nested(MAX_DEPTH)).members).toHaveLength(1);
    expect(() => scanObject(nested(MAX_DEPTH + 1))).toThrow("nested deeper than 256 levels");
    expect(() => scanObject(`{"a":${"[".repeat(1_000_000)}`)).toThrow("nested deeper than 256 levels");
    const text = `{"a":"${"\\\\".repeat(4_000_000)}","b":[${"7,".repeat(1_000_000)}7]}`;
    expect(scanObject(text).members[1]!.elements).toHaveLength(1_000_001);
  });
});

describe("editing members", () => {
  const keys = fc.constantFrom("a", "b", "c", "rhone", "model");
  const values = fc.array(fc.tuple(keys, fc.constantFrom("1", '"x"', "[2,3]")), { maxLength: 3 });

  it("gives the object that assignment and deletion give, and leaves all other bytes", () => {
    fc.assert(
      fc.property(
        fc.dictionary(keys, fc.jsonValue({ maxDepth: 2 })),
        fc.uniqueArray(keys, { maxLength: 3 }),
        values,
        fc.constantFrom(undefined, 2),
        (value, removed, all, indent) => {
          const text = JSON.stringify(value, null, indent);
          const assigned = [...new Map(all)].filter(([key]) => !removed.includes(key));
          const edited = editMembers(text, scanObject(text).members, removed, assigned);
          const expected: Record<string, unknown> = { ...value };
          for (const key of removed) delete expected[key];
          for (const [key, json] of assigned) expected[key] = JSON.parse(json);
          expect(JSON.parse(edited)).toEqual(JSON.parse(JSON.stringify(expected)));
          for (const { key, start, end } of findMembers(text))
            if (!new Set<string>(removed).has(key) && assigned.every(([name]) => name !== key))
              expect(edited).toContain(text.slice(start, end));
        },
      ),
      { numRuns: 300 },
    );
  });

  it("changes every one of several members of a name", () => {
    const text = '{"model":"a", "x":1,"\\u006dodel":"b"}';
    expect(editMembers(text, scanObject(text).members, ["x"], [["model", '"c"']])).toBe(
      '{"model":"c","\\u006dodel":"c"}',
    );
  });
});
