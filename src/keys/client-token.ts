import { createHmac } from "node:crypto";
import { z } from "zod";
import { GatewayError } from "../canonical/error.ts";
import type { Scope } from "./scopes.ts";
import { areDigestsEqual } from "../wire/hash.ts";
import { tryParseJson } from "../wire/json.ts";

/**
 * Client tokens: what a browser has instead of a key. One speaks for one session, for an hour at most, with some of its
 * key's scopes, and dies with its key. It is checked without a look-up: `rhone_ct_{claims}.{HMAC of the claims}`, in
 * characters that a WebSocket subprotocol may have.
 */
export type Claims = {
  org: string;
  session: string;
  scopes: Scope[];
  /** The key that gave it out. */
  keyId: string;
  /** Unix milliseconds. */
  expiresAt: number;
};

/** The scopes a token may have. */
export const TOKEN_SCOPES = ["inference", "sessions:read", "sessions:write"] as const satisfies readonly Scope[];

export const MAX_TTL_S = 3_600;

const PREFIX = "rhone_ct_";
/** Ids and scopes are short; a longer text is not worth an HMAC. */
const MAX_TOKEN_LENGTH = 2_048;

/** `secret`: the deployment's own, of which the signing key is derived. */
export function issueToken(secret: string, claims: Claims): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString("base64url");
  return `${PREFIX}${payload}.${sign(secret, payload)}`;
}

/** The inverse. Throws `auth.invalid`, or `auth.expired`. */
export function readToken(secret: string, token: string, now: number): Claims {
  const [payload = "", signature = "", ...more] = token.slice(PREFIX.length).split(".");
  const isSigned =
    token.length <= MAX_TOKEN_LENGTH && more.length === 0 && areDigestsEqual(signature, sign(secret, payload));
  const claims = isSigned ? decodeClaims(payload) : undefined;
  if (claims === undefined) throw new GatewayError("auth.invalid", "the client token is not valid");
  if (claims.expiresAt <= now)
    throw new GatewayError("auth.expired", "the client token has expired: ask for a new one");
  return claims;
}

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

function sign(secret: string, payload: string): string {
  const key = createHmac("sha256", secret).update("rhone client token v1").digest();
  return createHmac("sha256", key).update(payload).digest("base64url");
}
