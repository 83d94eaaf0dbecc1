import fc from "fast-check";
import { expect, it } from "vitest";
import { listLeaves, readLeaf, toJsonEdits } from "../../src/shield/json-leaves.ts";
import { redactJson } from "../../src/shield/redact-json.ts";
import { Replacer } from "../../src/shield/replace.ts";
import type { Rules } from "../../src/shield/rules.ts";
import { splice } from "../../src/wire/splice.ts";

const RULES: Rules = { kinds: new Set(["secret", "email", "phone", "card", "iban", "ssn", "ip"]) };
const replacer = new Replacer("secret", "org_a");

const redacted = (json: string, unread: readonly string[] = []): string =>
  redactJson(json, RULES, {
    isRead: ({ member }) => member === undefined || !unread.includes(member),
    substitute: (value, kind, { isNumber }) =>
      isNumber ? replacer.replaceNumber(value, kind) : replacer.replace(value, kind, "tag"),
  }).json;

it("all strings, keys and numbers of any JSON are found, with the members that they belong to", () => {
  fc.assert(
    fc.property(fc.json(), fc.nat(3), (json, spaces) => {
      const text = JSON.stringify(JSON.parse(json), null, spaces);
      const expected: unknown[] = [];
      JSON.parse(text, function (this: unknown, key, value: unknown) {
        // Fractions of a vector are none.
        const isOfVector = Array.isArray(this) && /[.eE]/.test(JSON.stringify(value));
        if (typeof value === "string" || (typeof value === "number" && !isOfVector)) expected.push(value);
        if (typeof value === "object" && value !== null && !Array.isArray(value)) expected.push(...Object.keys(value));
        return value;
      });
      const found = Array.from(listLeaves(text), (leaf) =>
        leaf.kind === "number" ? Number(readLeaf(text, leaf)) : readLeaf(text, leaf),
      );
      expect(found.map(String).toSorted()).toEqual(expected.map(String).toSorted());
    }),
  );
});

it("an edit of what a string says changes that alone, however the string is written", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.nat(9), fc.nat(9), fc.boolean(), (text, a, b, isEscaped) => {
      const literal = isEscaped
        ? `"${Array.from({ length: text.length }, (_, i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, "0")}`).join("")}"`
        : JSON.stringify(text);
      const json = ` {"a" : ${literal} } `;
      const [start, end] = [Math.min(a, b, text.length), Math.min(Math.max(a, b), text.length)];
      const leaf = Array.from(listLeaves(json)).find(({ kind }) => kind === "string")!;
      const changed = splice(json, toJsonEdits(json, leaf, [{ start, end, text: 'x"\\' }]));
      expect(JSON.parse(changed)).toEqual({ a: `${text.slice(0, start)}x"\\${text.slice(end)}` });
      expect(changed.startsWith(' {"a" : "') && changed.endsWith('" } ')).toBe(true);
    }),
  );
});

it("values go, and every other byte stays: unknown members, spaces, escapes, the order", () => {
  const json =
    '{ "role":"user", "content":[{"type":"text","text":"I am jane\\u0040example.com\\n\\ud83d\\ude00 \\/ok","cache_control":{"type":"ephemeral"}}],"x_unknown" : 1.50e3 }';
  const email = replacer.replace("jane@example.com", "email", "tag");
  expect(redacted(json)).toBe(json.replace("jane\\u0040example.com", email));
  expect(redacted('{"a":"nothing"}')).toBe('{"a":"nothing"}');
});

it("arguments stay JSON: in an object, in a text, in keys and in numbers", () => {
  const input = {
    to: ["jane@example.com"],
    card: 4111111111111111,
    "jane@example.com": { deep: "4111 1111 1111 1111" },
    n: 12,
  };
  for (const json of [JSON.stringify({ input }), JSON.stringify({ arguments: JSON.stringify(input) })]) {
    const outer = JSON.parse(redacted(json)) as { input?: typeof input; arguments?: string };
    const after = outer.input ?? (JSON.parse(outer.arguments!) as typeof input);
    const email = replacer.replace("jane@example.com", "email", "tag");
    expect(after).toMatchObject({
      to: [email],
      n: 12,
      [email]: { deep: expect.stringMatching(/^PII_CARD_/) as string },
    });
    expect(after.card).toSatisfy((card) => Number.isSafeInteger(card) && card !== 4111111111111111);
  }
});

it("what is not read is not changed", () => {
  const json = '{"signature":"jane@example.com","text":"jane@example.com","source":{"data":"jane@example.com"}}';
  const after = JSON.parse(redacted(json, ["signature", "data"])) as Record<string, unknown>;
  expect(after).toMatchObject({ signature: "jane@example.com", source: { data: "jane@example.com" } });
  expect(after.text).toMatch(/^PII_EMAIL_/);
});
