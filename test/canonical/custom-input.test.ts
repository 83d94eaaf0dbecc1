import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { customArguments, CustomInputReader, readCustomInput } from "../../src/canonical/custom-tools.ts";

describe("the input of a custom tool", () => {
  it("the input of a custom tool is the same after its way through arguments, in any pieces", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.array(fc.nat(40)), (text, cuts) => {
        const args = customArguments(text);
        const reader = new CustomInputReader();
        let read = "";
        let at = 0;
        for (const length of cuts) {
          read += reader.push(args.slice(at, at + length));
          at += length;
        }
        expect(read + reader.push(args.slice(at))).toBe(text);
        expect(readCustomInput(args)).toBe(text);
      }),
    );
  });

  it("the input of a custom tool is read from spaced, unescaped, incomplete and foreign arguments", () => {
    expect(readCustomInput('{ "input" : "a\\u00e9", "more": 1 }')).toBe("aé");
    expect(readCustomInput('{"input":"a\nb"}')).toBe("a\nb");
    expect(readCustomInput('{"input":"a\\n*** Be')).toBe("a\n*** Be");
    expect(readCustomInput("plain")).toBe("plain");
    expect(readCustomInput("{}")).toBe("");
    expect(readCustomInput("")).toBe("");
    expect(readCustomInput('{"input":""}')).toBe("");
    expect(readCustomInput('{"input":"{\\"input\\":\\"x\\"}"}')).toBe('{"input":"x"}');
  });

  it.each([
    ["under another name", '{ "patch" : "a\\nb" }', "a\nb"],
    ["under another name, empty", '{"patch":""}', ""],
    ["under another name, with characters that are not escaped", '{"patch":"a\n\\d"}\n', "a\n\\d"],
    ["under another name, incomplete", '{"patch":"a\\n*** Be', "a\n*** Be"],
    ["under another name, without an end", '{"patch":"a"', "a"],
    ["under a name that needs escape sequences", '{"p\\"":"a"}', "a"],
    ["behind another member", '{"why":"b","input":"a"}', "a"],
  ])("the input of a custom tool is the text of one member %s", (_, args, text) =>
    expect(readCustomInput(args)).toBe(text),
  );

  it.each([
    '{"patch":"a","more":"b"}',
    '{"patch":"a","more":1}',
    '{"patch":"a\n","more":1}',
    '{"patch":"a\n",',
    '{"patch":"say "hi""}',
    '{"patch":["a"]}',
    '{"patch":{"input":"a"}}',
    '{"input":["a"]}',
    '{"input":null}',
    '["a"]',
    '"a"',
    "1",
    "null",
  ])("the arguments %s are themselves the input of a custom tool", (args) => expect(readCustomInput(args)).toBe(args));

  it.each([
    ["a backslash that is not escaped", '{"input":"/\\d+\\.x/"}', "/\\d+\\.x/"],
    ["a `u` that starts no escape sequence", '{"input":"C:\\user\\u00e9\\u12"}', "C:\\useré\\u12"],
    ["half of a surrogate pair", '{"input":"a\\ud83d"}', "a\ud83d"],
    ["characters behind the object", '{"input":"a"}}', "a"],
  ])("the input of a custom tool is read from arguments with %s, in any pieces", (_, args, text) => {
    expect(readCustomInput(args)).toBe(text);
    for (let size = 1; size < args.length; size++) {
      const reader = new CustomInputReader();
      let read = "";
      for (let at = 0; at < args.length; at += size) read += reader.push(args.slice(at, at + size));
      expect(read).toBe(text);
    }
  });

  it("no piece of a custom tool's input ends within a surrogate pair", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.boolean(), (text, isEscaped) => {
        const escaped = text.replaceAll(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
        const args = isEscaped ? `{"input":"${escaped.replaceAll('"', '\\"')}"}` : customArguments(text);
        const reader = new CustomInputReader();
        const pieces = args.split("").map((char) => reader.push(char));
        expect(pieces.filter((piece) => !piece.isWellFormed())).toEqual([]);
        if (!isEscaped) expect(pieces.join("")).toBe(text);
      }),
    );
  });

  it("a custom tool's input of two million characters is read at once", () => {
    const text = `${"x\n".repeat(1_000_000)}\u{1F600}`;
    expect(new CustomInputReader().push(customArguments(text))).toBe(text);
  });
});
