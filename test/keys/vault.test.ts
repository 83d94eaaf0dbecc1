import { expect, it } from "vitest";
import { findPeriodEnd, findFirstDay } from "../../src/keys/budget/periods.ts";
import { containsRange, isRange } from "../../src/keys/ip-ranges.ts";
import { coversModel } from "../../src/keys/policy.ts";
import { isEncryptedWith, encrypt, decrypt, parseVaultKeys } from "../../src/keys/vault.ts";

const keyText = (fill: number): string => Buffer.alloc(32, fill).toString("base64");

it("the vault decrypts what it encrypted, for its own place and unchanged, also under an older key", () => {
  const old = parseVaultKeys(keyText(1))!;
  const both = parseVaultKeys(`${keyText(2)},${keyText(1)}`)!;
  const sealed = encrypt("sk-secret", "org_a/openai", old);
  expect(sealed).not.toContain("secret");
  expect(encrypt("sk-secret", "org_a/openai", old)).not.toBe(sealed);
  expect(decrypt(sealed, "org_a/openai", both)).toBe("sk-secret");
  expect([isEncryptedWith(sealed, old), isEncryptedWith(sealed, both)]).toEqual([true, false]);
  expect(decrypt(sealed, "org_b/openai", old)).toBeUndefined();
  expect(decrypt(sealed, "org_a/openai", parseVaultKeys(keyText(3))!)).toBeUndefined();
  const [name, nonce, body] = sealed.split(".") as [string, string, string];
  const bent = Buffer.from(body, "base64url");
  bent[0]! ^= 1;
  expect(decrypt([name, nonce, bent.toString("base64url")].join("."), "org_a/openai", old)).toBeUndefined();
  for (const bad of ["", "x", keyText(1).slice(0, 20), `${keyText(1)},`]) expect(parseVaultKeys(bad)).toBeUndefined();
});

it.each([
  ["10.0.0.0/8", "10.255.255.255", true],
  ["10.0.0.0/8", "11.0.0.0", false],
  ["10.0.0.0/8", "10.0.0.0/7", false],
  ["0.0.0.0/0", "255.255.255.255", true],
  ["0.0.0.0/0", "::1", false],
  ["10.0.0.1", "::ffff:10.0.0.1", true],
  ["2001:db8::/32", "2001:db8:ffff::1", true],
  ["2001:db8::/32", "2001:db9::", false],
  ["::/0", "fe80::1", true],
])("the range %s holds %s: %s", (wide, narrow, holds) => {
  expect(containsRange(wide, narrow)).toBe(holds);
});

it("a wrong address is no range", () => {
  const wrong = [
    "",
    "10",
    "10.0.0",
    "256.0.0.1",
    "01.2.3.4",
    "10.0.0.0/33",
    "1::2::3",
    ":::",
    "g::",
    "1:2:3:4:5:6:7:8:9",
    "::1/129",
    "10.0.0.0/8/8",
  ];
  expect(wrong.filter(isRange)).toEqual([]);
});

it.each([
  ["weekly", "2026-11-22", "2026-11-16"],
  ["weekly", "2026-11-23", "2026-11-23"],
  ["monthly", "2026-02-28", "2026-02-01"],
  ["daily", "2026-02-28", "2026-02-28"],
] as const)("a %s period with %s starts on %s", (period, day, first) => {
  expect(findFirstDay(period, day)).toBe(first);
});

it.each([
  ["daily", "2026-03-29T00:30:00Z", "Europe/Zurich", "2026-03-29T22:00:00Z"],
  ["monthly", "2026-12-31T23:30:00Z", "UTC", "2027-01-01T00:00:00Z"],
  ["monthly", "2027-01-31T12:00:00Z", "America/New_York", "2027-02-01T05:00:00Z"],
  ["weekly", "2026-11-21T10:00:00Z", "Asia/Kolkata", "2026-11-22T18:30:00Z"],
  // Midnight itself was skipped: the day begins at one.
  ["daily", "2026-09-05T12:00:00Z", "America/Santiago", "2026-09-06T04:00:00Z"],
] as const)("a %s period at %s in %s ends at %s", (period, at, zone, end) => {
  expect(new Date(findPeriodEnd(period, Date.parse(at), zone)).toISOString().replace(".000", "")).toBe(end);
});

it("a model is covered by its name in any case, or by its provider's star", () => {
  expect(coversModel("openai/*", "openai/gpt-4o")).toBe(true);
  expect(coversModel("OpenAI/*", "openai/GPT-4o")).toBe(true);
  expect(coversModel("openai/*", "openai2/gpt-4o")).toBe(false);
  expect(coversModel("gpt-4o", "gpt-4o-mini")).toBe(false);
});
