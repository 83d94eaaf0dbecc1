import { createHmac } from "node:crypto";
import { z } from "zod";
import { GatewayError } from "../canonical/error.ts";
import { areDigestsEqual } from "../wire/hash.ts";
import { tryParseJson } from "../wire/json.ts";
import type { Scope } from "./scopes.ts";

/**
 * Claims of a client token, which a browser uses instead of a key. A token is valid for one session, for an hour at most,
 * with some of its key's scopes, and only as long as its key. Its signature is checked without a lookup:
 * `rhone_ct_{claims}.{HMAC of the claims}`, in characters that are allowed in a WebSocket subprotocol (RFC 6455, 4.1).
 */
export type Claims = {
  org: string;
  session: string;
  scopes: Scope[];
  /** The key that issued it. */
  keyId: string;
  /** Unix milliseconds. */
  expiresAt: number;
};

/** The scopes a token may have. */
export const TOKEN_SCOPES = ["inference", "sessions:read", "sessions:write"] as const satisfies readonly Scope[];

/** Longest lifetime of a token. A stolen one is of use no longer than this. Seconds. */
export const MAX_TTL_S = 3_600;

const PREFIX = "rhone_ct_";
/** Longest token whose signature is computed; real ones have about a quarter of it. Characters. */
const MAX_TOKEN_LENGTH = 2_048;

/** Signs the claims. `secret`: RHONE_ADMIN_KEY, from which the signing key is derived. */
export function issueToken(secret: string, claims: Claims): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString("base64url");
  return `${PREFIX}${payload}.${sign(secret, payload)}`;
}

/** Verifies a token; the inverse of `issueToken`. `now`: Unix milliseconds. Throws `auth.invalid` or `auth.expired`. */
export function readToken(secret: string, token: string, now: number): Claims {
  const [payload = "", signature = "", ...more] = token.slice(PREFIX.length).split(".");
  const isSigned =
    token.length <= MAX_TOKEN_LENGTH && more.length === 0 && areDigestsEqual(signature, sign(secret, payload));
  const claims = isSigned ? decodeClaims(payload) : undefined;
  if (claims === undefined) throw new GatewayError("auth.invalid", "the client token is not valid");
  if (claims.expiresAt <= now)
    throw new GatewayError("auth.expired", "the client token has expired: request a new one");
  return claims;
}

/** Whether the credential is meant as a client token; its signature is not checked. */
export const isToken = (credential: string): boolean => credential.startsWith(PREFIX);

const claimsSchema = z.object({
  org: z.string(),
  session: z.string(),
  scopes: z.array(z.enum(TOKEN_SCOPES)),
  keyId: z.string(),
  expiresAt: z.number(),
});

const decodeClaims = (payload: string): Claims | undefined =>
  claimsSchema.safeParse(tryParseJson(Buffer.from(payload, "base64url").toString())).data;

/** The label separates this key from others derived of the same secret. Changing it invalidates all tokens. */
function sign(secret: string, payload: string): string {
  const key = createHmac("sha256", secret).update("rhone client token v1").digest();
  return createHmac("sha256", key).update(payload).digest("base64url");
}
