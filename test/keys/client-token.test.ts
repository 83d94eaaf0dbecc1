import fc from "fast-check";
import { expect, it } from "vitest";
import { type Claims, issueToken, readToken, TOKEN_SCOPES } from "../../src/keys/client-token.ts";

const claims: fc.Arbitrary<Claims> = fc.record({
  org: fc.string(),
  session: fc.string(),
  scopes: fc.subarray([...TOKEN_SCOPES]),
  keyId: fc.string(),
  expiresAt: fc.integer({ min: 1 }),
});

it("a client token has the claims that it was made with, in characters that a subprotocol may have", () => {
  fc.assert(
    fc.property(claims, fc.string({ minLength: 1 }), (said, secret) => {
      const token = issueToken(secret, said);
      expect(token).toMatch(/^[A-Za-z0-9._-]+$/);
      expect(readToken(secret, token, said.expiresAt - 1)).toEqual(said);
      expect(() => readToken(secret, token, said.expiresAt)).toThrow("expired");
      expect(() => readToken(`${secret}x`, token, 0)).toThrow("not valid");
    }),
  );
});

it("a client token that was changed anywhere is refused", () => {
  const said: Claims = { org: "o", session: "sess_a", scopes: ["sessions:read"], keyId: "key_a", expiresAt: 1_000 };
  const token = issueToken("secret", said);
  // The last character holds two bits that stand for nothing; every other one counts.
  for (let i = "rhone_ct_".length; i < token.length - 1; i++) {
    const other = token[i] === "A" ? "B" : "A";
    expect(() => readToken("secret", token.slice(0, i) + other + token.slice(i + 1), 0)).toThrow("not valid");
  }
  for (const bad of [
    "rhone_ct_",
    "rhone_ct_.",
    `${token}.`,
    `${token}x`,
    token.slice(0, -1),
    `rhone_ct_${"a".repeat(5_000)}`,
  ])
    expect(() => readToken("secret", bad, 0)).toThrow("not valid");
});
