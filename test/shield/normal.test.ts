import fc from "fast-check";
import { expect, it } from "vitest";
import { endInOriginal, normalizeText, startInOriginal } from "../../src/shield/normal.ts";
import { findInText } from "../../src/shield/redact-json.ts";
import { ALL_KINDS } from "../../src/shield/rules.ts";

it.each([
  "４１１１ １１１１ １１１１ １１１１",
  "4111\u200b1111\u200d1111\ufeff1111",
  "4111‑1111–1111—1111",
  "4111\u00a01111\u20031111\u30001111",
  "٤١١١ ١١١١ ١١١١ ١١١١",
  "४१११ ११११ ११११ ११११",
  "𝟒𝟏𝟏𝟏 𝟏𝟏𝟏𝟏 𝟏𝟏𝟏𝟏 𝟏𝟏𝟏𝟏",
  "ｊａｎｅ＠ｅｘａｍｐｌｅ．ｃｏｍ",
  "ja\u00adne@exam\u200bple.com",
])("a value is found however it is written: %s", (value) => {
  const text = `An: „${value}“ – danke`;
  expect(findInText(text, { kinds: ALL_KINDS }).map(({ start, end }) => text.slice(start, end))).toEqual([value]);
});

it("every part of the normal text stands for the part of the original at its place", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (original) => {
      const normal = normalizeText(original);
      let end = 0;
      for (let i = 0; i < normal.text.length; i++) {
        const [from, to] = [startInOriginal(normal, i), endInOriginal(normal, i + 1)];
        expect(from).toBeGreaterThanOrEqual(0);
        expect(to).toBeGreaterThan(from);
        expect(to).toBeGreaterThanOrEqual(end);
        end = to;
      }
      expect(end).toBeLessThanOrEqual(original.length);
    }),
    { numRuns: 2_000 },
  );
  const plain = "Ein Text über 日本, ganz gewöhnlich 😀.";
  expect(normalizeText(plain)).toEqual({ text: plain, parts: [] });
});
