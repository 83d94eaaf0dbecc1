import fc from "fast-check";
import { expect, it } from "vitest";
import { cutText, replaceHalfPairs } from "../../src/wire/surrogates.ts";

/** Texts with whole pairs, halves of pairs, and what looks like an escape of one. */
const text = fc
  .array(fc.constantFrom("a", "é", "😀", "\ud83d", "\ude00", "\\", "\\ud83d", "\n", '"'))
  .map((parts) => parts.join(""));

it("a text without halves of pairs is the same in JSON, and each half becomes U+FFFD", () => {
  fc.assert(
    fc.property(text, (one) => {
      expect(JSON.parse(replaceHalfPairs(JSON.stringify({ one })))).toEqual({ one: one.toWellFormed() });
    }),
  );
});

it("a text is cut between characters, at most one unit before the limit", () => {
  fc.assert(
    fc.property(text, fc.nat(20), (one, most) => {
      const whole = one.toWellFormed();
      const cut = cutText(whole, most);
      expect(whole.startsWith(cut) && cut.isWellFormed()).toBe(true);
      expect(cut.length).toBeLessThanOrEqual(most);
      expect(cut.length).toBeGreaterThanOrEqual(Math.min(whole.length, most - 1));
    }),
  );
});

it("a long text of backslashes takes no time of its square", () => {
  const json = JSON.stringify(`${"\\".repeat(2_000_000)}\ud83d`);
  expect(replaceHalfPairs(json).endsWith('\ufffd"')).toBe(true);
});
