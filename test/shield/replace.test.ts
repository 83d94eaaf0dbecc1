import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Kind } from "../../src/shield/detect/find.ts";
import { makeNameList } from "../../src/shield/detect/names.ts";
import { findValues } from "../../src/shield/detector.ts";
import { endInOriginal, normalizeText, startInOriginal } from "../../src/shield/normal.ts";
import { type Manner, Replacer } from "../../src/shield/replace.ts";
import { restoreAll, Restorer } from "../../src/shield/restore.ts";
import type { Rules } from "../../src/shield/rules.ts";
import { type Edit, splice } from "../../src/wire/splice.ts";

const RULES: Rules = {
  kinds: new Set(["secret", "email", "phone", "card", "iban", "ssn", "ip"]),
  names: makeNameList(["Jane Doe"]),
};
const VALUES: readonly (readonly [Kind, string])[] = [
  ["email", "jane.doe+x@mail.example.co.uk"],
  ["card", "4111 1111 1111 1111"],
  ["iban", "DE89 3704 0044 0532 0130 00"],
  ["ssn", "078-05-1121"],
  ["phone", "+49 151 2345 6789"],
  ["ip", "192.168.10.254"],
  ["secret", "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"],
  ["name", "Jane Doe"],
];
const replacer = new Replacer("secret of the deployment", "org_a");

function redactText(text: string, manner: Manner, vault = new Map<string, string>()): string {
  const normal = normalizeText(text);
  const finds = findValues(normal.text, RULES).map((find) => ({
    kind: find.kind,
    start: startInOriginal(normal, find.start),
    end: endInOriginal(normal, find.end),
  }));
  const edits = finds.map(({ start, end, kind }) => ({
    start,
    end,
    text: replacer.replace(text.slice(start, end), kind, manner),
  }));
  for (const [i, { text: tag }] of edits.entries()) vault.set(tag, text.slice(finds[i]!.start, finds[i]!.end));
  return splice(text, edits);
}

const words = fc.constantFrom(
  "Hello ",
  " and ",
  "\n",
  ", ",
  "in 2024 ",
  "x ",
  '"',
  "(",
  ") ",
  "the account ",
  ". ",
  "日本 ",
  "key = ",
);
const text = fc
  .array(
    fc.oneof(
      words,
      fc.constantFrom(...VALUES).map(([, value]) => ` ${value} `),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(""));

describe("a replaced value", () => {
  it("is restored to what it was, and replaced again by the same", () => {
    fc.assert(
      fc.property(text, (whole) => {
        const vault = new Map<string, string>();
        const redacted = redactText(whole, "tag", vault);
        for (const [, value] of VALUES) expect(redacted).not.toContain(value);
        const restored = splice(
          redacted,
          restoreAll(redacted, (tag) => vault.get(tag)),
        );
        expect(restored).toBe(whole);
        expect(redactText(restored, "tag")).toBe(redacted);
      }),
      { numRuns: 3_000 },
    );
  });

  it.each(["tag", "mask", "hash", "fake"] as const)("as %s is not replaced once more", (manner) => {
    fc.assert(
      fc.property(text, (whole) => {
        const redacted = redactText(whole, manner);
        expect(redactText(redacted, manner)).toBe(redacted);
      }),
      { numRuns: 2_000 },
    );
  });

  it("is the same in every form of the value, another one for another value, kind and organisation", () => {
    const tag = replacer.replace("4111 1111 1111 1111", "card", "tag");
    expect(tag).toMatch(/^PII_CARD_[A-Z2-7]{8}$/);
    expect(replacer.replace("4111-1111-1111-1111", "card", "tag")).toBe(tag);
    expect(replacer.replace("Jane@Example.com", "email", "tag")).toBe(
      replacer.replace("jane@example.COM", "email", "tag"),
    );
    const others = [
      replacer.replace("4111 1111 1111 1112", "card", "tag"),
      replacer.replace("4111 1111 1111 1111", "phone", "tag"),
      new Replacer("secret of the deployment", "org_b").replace("4111 1111 1111 1111", "card", "tag"),
    ];
    expect(new Set([tag, ...others]).size).toBe(4);
    expect(replacer.replace("4111 1111 1111 1234", "card", "mask")).toBe("****1234");
  });

  it("has the form that tools demand, as a fake", () => {
    const fakes = Object.fromEntries(VALUES.map(([kind, value]) => [kind, replacer.replace(value, kind, "fake")]));
    expect(fakes.email).toMatch(/^u[0-9a-f]{12}@pii\.example$/);
    expect(fakes.card).toMatch(/^40000099\d{8}$/);
    expect(fakes.ssn).toMatch(/^9\d\d-00-\d{4}$/);
    expect(fakes.phone).toMatch(/^\+999\d{10}$/);
    expect(fakes.ip).toMatch(/^250(?:\.\d{1,3}){3}$/);
    expect(fakes.iban).toMatch(/^PII_IBAN_/);
  });
});

describe("restoring", () => {
  const TAG = "PII_EMAIL_ABCDEFG2";
  const vault = (tag: string): string | undefined => (tag === TAG ? "jane@example.com" : undefined);

  it("leaves links, tags of others, and words that only look like one", () => {
    for (const same of [
      `![x](https://evil.example/${TAG})`,
      `https://evil.example/?q=${TAG}&b=1`,
      "PII_EMAIL_ZZZZZZZ2",
      `${TAG}X`,
      `x${TAG}`,
      "PII_",
    ])
      expect(splice(same, restoreAll(same, vault))).toBe(same);
    const said = `Write to **${TAG.toLowerCase()}**, "${TAG}": https://a.example ${TAG}.`;
    expect(splice(said, restoreAll(said, vault))).toBe(
      'Write to **jane@example.com**, "jane@example.com": https://a.example jane@example.com.',
    );
  });

  it("does not depend on how a text is cut, and holds back nothing but what may be a tag", () => {
    const part = fc.constantFrom(
      TAG,
      TAG.toLowerCase(),
      "PII_",
      "P",
      "Pi",
      " ",
      "https://a.b/",
      "x",
      "_",
      "PII_EMAIL_",
      "\n",
      "日",
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 10 }), fc.nat(6), (parts, size) => {
        const whole = parts.join("");
        const restorer = new Restorer(vault);
        const edits: Edit[] = [];
        for (let at = 0; at < whole.length; at += size + 1)
          edits.push(...restorer.push(whole.slice(at, at + size + 1)).edits);
        const last = restorer.end();
        expect(last.end).toBe(whole.length);
        expect([...edits, ...last.edits]).toEqual(restoreAll(whole, vault));
      }),
      { numRuns: 5_000 },
    );
    const restorer = new Restorer(vault);
    expect(restorer.push("no tag in here ").end).toBe(15);
    expect(restorer.push("PII_EM").end).toBe(15);
  });
});
