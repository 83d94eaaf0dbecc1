import fc from "fast-check";
import { expect, it } from "vitest";
import { compilePattern } from "../../src/shield/custom-pattern.ts";
import { makeNameList } from "../../src/shield/detect/names.ts";
import { findValues } from "../../src/shield/detector.ts";
import { endInOriginal, normalizeText, startInOriginal } from "../../src/shield/normal.ts";
import type { Rules } from "../../src/shield/rules.ts";
import { type DecidedFind, Window } from "../../src/shield/window.ts";

const RULES: Rules = { kinds: new Set(["secret", "email", "phone", "card", "iban", "ssn", "ip"]) };

const NAMES: Rules = {
  kinds: new Set(["email", "card"]),
  names: makeNameList(["Jane Doe", "Ann", "Jean-Luc O'Neil", "山田太郎", "Jane Doerte Smith"]),
  patterns: [await compilePattern({ name: "ticket", pattern: "(?i)EMP-\\d{3,6}|case [a-z]+ \\d", reach: 24 })],
};

const KEY = `-----BEGIN RSA PRIVATE KEY-----\n${"MIIEowIBAAKCAQEA1234abcd+/==\n".repeat(3)}-----END RSA PRIVATE KEY-----`;
const VALUES = [
  "jane.doe+x@mail.example.co.uk",
  "jürgen@straße-online.de",
  "4111 1111 1111 1111",
  "5555-5555-5555-4444",
  "378282246310005",
  "DE89 3704 0044 0532 0130 00",
  "GB29NWBK60161331926819",
  "078-05-1121",
  "949-49-6891",
  "4242-4242-4242-4242",
  "564-555-0117",
  "xoxb-00000-00000-EXAMPLENOTAREALTOKEN",
  "+49 (0) 151 2345 6789",
  "(415) 555-0132 x12",
  "call me at 5550132",
  "192.168.10.254",
  "2001:db8::ff00:42:8329",
  "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
  "AKIAIOSFODNN7ABCDEFG",
  `ghp_${"a1B2c3D4e".repeat(4)}`,
  "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
  "postgres://joe:s3cret-pw@db.example.com/main",
  'api_key = "f81d4fae7dec11d0a76500a0c91e6bf6"',
  "password: hunter2!x",
  "Authorization: Bearer 9f8e7d6c5b4a39281706",
  KEY,
];
const FILLERS = [" and ", "\n", ", ", " 12 ", " x", ".", " (", ") ", ": ", "\t", " In 2024, 3.14 of ", "id=", '"'];
const MORE = [
  " A1 ",
  "— ",
  "日本 ",
  " +",
  " -",
  "7",
  "１２",
  "4\u200b1",
  "ü",
  "😀",
  "-----BEGIN ",
  "https://a.b/c?d=",
  "=",
  " ext",
];

const text = fc
  .array(fc.oneof(fc.constantFrom(...FILLERS, ...MORE), fc.string({ maxLength: 6 }), fc.constantFrom(...VALUES)), {
    maxLength: 14,
  })
  .map((parts) => parts.join(""));

function findWhole(whole: string, rules = RULES): DecidedFind[] {
  const normal = normalizeText(whole);
  return findValues(normal.text, rules).map(({ start, end, kind }) => ({
    start: startInOriginal(normal, start),
    end: endInOriginal(normal, end),
    kind,
  }));
}

/** The finds of a window, those that go on joined. */
function findInPieces(pieces: readonly string[], rules = RULES): { finds: DecidedFind[]; held: number } {
  const window = new Window(rules);
  const finds: DecidedFind[] = [];
  let held = 0;
  let end = 0;
  const take = (decided: { end: number; finds: DecidedFind[] }): void => {
    expect(decided.end).toBeGreaterThanOrEqual(end);
    ({ end } = decided);
    for (const find of decided.finds) {
      if (find.continues === true) finds.at(-1)!.end = find.end;
      else finds.push({ ...find });
    }
    held = Math.max(held, window.held);
  };
  for (const piece of pieces) take(window.push(piece));
  take(window.end());
  expect(end).toBe(pieces.join("").length);
  return { finds, held };
}

function cut(whole: string, sizes: readonly number[]): string[] {
  const pieces: string[] = [];
  for (let at = 0, i = 0; at < whole.length; i++) {
    const size = 1 + sizes[i % sizes.length]!;
    pieces.push(whole.slice(at, at + size));
    at += size;
  }
  return pieces;
}

const RUNS = process.env.RHONE_TEST_ALL === "1" ? 150_000 : 10_000;

it("what is found does not depend on how a text is cut", { timeout: 300_000 }, () => {
  fc.assert(
    fc.property(text, fc.array(fc.nat(7), { minLength: 1, maxLength: 12 }), (whole, sizes) => {
      expect(findInPieces(cut(whole, sizes)).finds).toEqual(findWhole(whole));
    }),
    { numRuns: RUNS },
  );
});

it("nor does it with names and patterns of a profile", { timeout: 60_000 }, () => {
  const parts = [
    "jane  DOE",
    "Ann",
    "anna",
    "Jane Doerte",
    " Smith",
    "jean-luc o’neil",
    "山田太郎",
    "山",
    "EMP-12345",
    "emp-1",
  ];
  const others = [
    " ",
    "\n",
    "case a 1",
    "Case ",
    "x",
    ". ",
    "jane@doe.example ",
    "4111 1111 1111 1111",
    "日本",
    "Jane D",
  ];
  const some = fc.array(fc.constantFrom(...parts, ...others), { maxLength: 12 }).map((list) => list.join(""));
  fc.assert(
    fc.property(some, fc.array(fc.nat(7), { minLength: 1, maxLength: 12 }), (whole, sizes) => {
      expect(findInPieces(cut(whole, sizes), NAMES).finds).toEqual(findWhole(whole, NAMES));
    }),
    { numRuns: RUNS / 10 },
  );
  const all = findWhole("Jane Doe, ANN and 山田太郎さん: EMP-777, annex", NAMES);
  expect(all.map(({ kind }) => kind)).toEqual(["name", "name", "name", "pattern:ticket"]);
});

it.each([
  ["a number that an address may begin in", "+49 (0) 151 2345 6789%jürgen@straße-online.deeyJ"],
  ["a name inside a value", `password: hunter2!xpassword: hunter2!x${"eyJhbGciOi.".repeat(9)}8U+49 (0) 151 2345 6789`],
])("%s is read as in the whole", (_, whole) => {
  expect(findInPieces(cut(whole, [0])).finds).toEqual(findWhole(whole));
});

it("every value is found, cut anywhere", () => {
  for (const value of VALUES) {
    const whole = `Write to ${value}, please.`;
    const expected = findWhole(whole);
    expect(expected, value).toHaveLength(1);
    for (let at = 0; at <= whole.length; at++)
      expect(findInPieces([whole.slice(0, at), whole.slice(at)]).finds, `${value} at ${at}`).toEqual(expected);
  }
});

it.each([
  ["a long word", "x".repeat(100_000)],
  ["a long token", `sk-ant-${"aB3dE5".repeat(20_000)}`],
  ["a long key", `-----BEGIN PRIVATE KEY-----\n${"MIIEowIBAAKCAQEA1234abcd\n".repeat(2_000)}-----END PRIVATE KEY-----`],
  ["a row of digits", "1 ".repeat(30_000)],
  ["base64 of data", "aGVsbG8gd29ybGQh".repeat(6_000)],
])("%s is not held, and the same is found in it", (_, long) => {
  const whole = `before ${long} and jane@example.com`;
  const { finds, held } = findInPieces(cut(whole, [3, 700, 40, 0]));
  expect(held).toBeLessThan(4_096);
  expect(finds).toEqual(findWhole(whole));
});

it("what prose holds back is short", () => {
  const prose = "The quick brown fox jumps over the lazy dog, 42 times (or so), in 2024. ".repeat(100);
  const window = new Window(RULES);
  const held = cut(prose, [3]).map((piece) => {
    window.push(piece);
    return window.held;
  });
  const sorted = held.toSorted((a, b) => a - b);
  expect(sorted[sorted.length >> 1]).toBeLessThanOrEqual(8);
  expect(sorted[Math.floor(sorted.length * 0.99)]).toBeLessThanOrEqual(128);
});
