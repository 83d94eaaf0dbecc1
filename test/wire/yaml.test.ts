import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Json, parseJson } from "../../src/wire/json.ts";
import { readYaml, writeYaml, YamlError } from "../../src/wire/yaml.ts";

/** Any JSON value, with keys that objects have by themselves among them. */
const anyJson = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((one) => (Object.is(one, -0) ? 0 : one)),
    fc.maxSafeInteger(),
    fc.string({ unit: "grapheme" }),
    fc.constantFrom(
      "yes",
      "~",
      "null",
      "0x1F",
      ".nan",
      "2026-11-30",
      "- a",
      "a: b",
      "# a",
      "<<",
      "*a",
      "|\n",
      " \n a\n",
    ),
    fc.array(tie("value"), { maxLength: 5 }),
    fc
      .array(fc.tuple(fc.oneof(fc.string(), fc.constantFrom("__proto__", "<<", "1", "~", "")), tie("value")), {
        maxLength: 5,
      })
      .map((entries) => Object.fromEntries(entries) as Json),
  ),
})).value;

describe("YAML", () => {
  it("every JSON text is the same value as YAML", async () => {
    await fc.assert(
      fc.asyncProperty(anyJson, async (value) => {
        for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2)])
          expect(JSON.stringify(await readYaml(text))).toBe(JSON.stringify(value));
      }),
    );
  });

  it("every JSON value that is written is read as the same", async () => {
    await fc.assert(
      fc.asyncProperty(anyJson, async (value) => {
        expect(JSON.stringify(await readYaml(await writeYaml(value)))).toBe(JSON.stringify(value));
      }),
    );
  });

  it("is read by its core schema", async () => {
    const text = `
      text: plain
      yes: no
      date: 2026-11-30
      numbers: [12, -1.50, 1e3, 0x1F, 0o17, 012]
      nothing: [~, null, ]
      1: a key
      folded: >
        one
        line
      <<: { merged: false }
    `;
    expect(await readYaml(text)).toEqual({
      text: "plain",
      yes: "no",
      date: "2026-11-30",
      numbers: [12, -1.5, 1000, 31, 15, 12],
      nothing: [null, null],
      1: "a key",
      folded: "one line\n",
      "<<": { merged: false },
    });
    expect(await readYaml("%YAML 1.1\n---\nyes: no")).toEqual({ yes: "no" });
    expect(await readYaml("")).toBe(null);
  });

  it("numbers that a double cannot represent are those of JSON", async () => {
    const json = '{"id":12345678901234567890,"ratio":0.12345678901234567890}';
    expect(JSON.stringify(await readYaml("id: 12345678901234567890\nratio: 0.12345678901234567890"))).toBe(json);
    expect(JSON.stringify(await readYaml(await writeYaml(parseJson('{"id":12345678901234567890}'))))).toBe(
      '{"id":12345678901234567890}',
    );
  });

  it("an alias is the value that its anchor has above it", async () => {
    const text = "a: &one {n: &two 1}\nb: &two 2\nc: *one\nd: *two\ne: [*two, *two]";
    expect(await readYaml(text)).toEqual({ a: { n: 1 }, b: 2, c: { n: 1 }, d: 2, e: [2, 2] });
  });

  it("a member with the name of a prototype is a member", async () => {
    const value = (await readYaml("__proto__: { isAdmin: true }\nconstructor: 1")) as Record<string, Json>;
    expect(Object.keys(value)).toEqual(["__proto__", "constructor"]);
    expect([value.isAdmin, ({} as Record<string, Json>).isAdmin]).toEqual([undefined, undefined]);
  });
});

const nested = (levels: number): string => `${"[".repeat(levels)}${"]".repeat(levels)}`;
const bomb = Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(", ")}]`);

it.each([
  ["a key that is there twice", "a: 1\nb:\n  c: 1\n  c: 2", /^line 4, column 3: expected each key once, got c again/],
  ["a key twice, as number and text", '1: a\n"1": b', /^line 2, column 1: expected each key once/],
  ["a key that is no text", "? [a]\n: 1", /^line 1, column 3: expected a text as the key/],
  ["an alias as key", "a: &b c\n*b : 1", /expected a text as the key/],
  ["a tag of its own", "a: !secret b", /^line 1, column 4: expected no tag, or one of the core schema/],
  ["a tag of YAML 1.1", "a: !!binary aGk=", /expected no tag/],
  ["what is no number", "a:\n  - .nan", /^line 2, column 5: expected a number that JSON has, got .nan/],
  ["what has no end", "a: -.inf", /expected a number that JSON has/],
  ["a hexadecimal number of 18 digits", "a: 0xFFFFFFFFFFFFFFFFFF", /expected a number that JSON has/],
  ["an alias of nothing", "a: *b", /^line 1, column 4: expected the name of an anchor above, got b/],
  ["a value that contains itself", "a: &b [*b]", /expected the name of an anchor above/],
  ["a sequence that does not end", "a: [1, 2\nb: 3", /^line 2, column 1: /],
  ["two documents", "a: 1\n---\nb: 1", /^line 2, column 1: expected one document/],
  ["aliases of aliases", ["a0: &a0 [lol]", ...bomb].join("\n"), /expected at most 262144 characters with all aliases/],
  ["many aliases of a long text", `- &a "${"x".repeat(4_096)}"\n${"- *a\n".repeat(100)}`, /with all aliases/],
  ["deep nesting", nested(300), /expected at most 256 levels/],
  ["very deep nesting", nested(100_000), /expected at most 256 levels/],
  [
    "deep nesting by aliases",
    ["- &a0 [1]", ...Array.from({ length: 300 }, (_, i) => `- &a${i + 1} [*a${i}]`)].join("\n"),
    /levels/,
  ],
  ["a long text", "x".repeat(262_145), /^expected at most 262144 characters$/],
])("%s is refused", async (_, text, message) => {
  const refused = await readYaml(text).catch((thrown: unknown) => thrown);
  expect(refused).toBeInstanceOf(YamlError);
  expect((refused as YamlError).message).toMatch(message);
});

it("many keys are read in linear time", async () => {
  const count = 30_000;
  const text = Array.from({ length: count }, (_, i) => `k${i}:`).join("\n");
  expect(Object.keys((await readYaml(text)) as object)).toHaveLength(count);
});
