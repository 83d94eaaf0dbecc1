import { GatewayError } from "../canonical/error.ts";
import type { Policy } from "../keys/policy.ts";
import { objectIdIn } from "../wire/id.ts";
import { ADMIN_KEY_ID, authenticate, authenticateKeyId, type AuthContext } from "../keys/authenticate.ts";
import type { Caller } from "./call/call.ts";
import { type Claims, isToken, readToken } from "../keys/client-token.ts";

/** Who calls with this credential: a key, or a client token that a key has given out. Throws as `admit` does. */
export async function authenticateBearer(given: string | undefined, gate: AuthContext, now: number): Promise<Caller> {
  if (given === undefined || !isToken(given)) return await authenticate(given, gate);
  const { adminKey } = gate;
  // Without a secret nothing can have been signed with it.
  if (adminKey === undefined || adminKey === "")
    throw new GatewayError("auth.invalid", "the client token is not valid");
  return await authenticateClaims(readToken(adminKey, given, now), gate);
}

/** What a token allows as long as its key does. Throws `auth.invalid` when the key is dead. */
export async function authenticateClaims(
  { keyId, org, session, scopes, expiresAt }: Claims,
  gate: AuthContext,
): Promise<Caller> {
  const caller = await authenticateKeyId(keyId, objectIdIn("key", keyId), gate);
  // The bootstrap key gives tokens out in the organisation that it acts in.
  if (caller.org !== org && keyId !== ADMIN_KEY_ID)
    throw new GatewayError("auth.invalid", "the client token is not valid");
  const { policy } = caller;
  const allowed = policy === undefined ? scopes : scopes.filter((scope) => policy.scopes.includes(scope));
  return { ...caller, org, session, expiresAt, policy: { ...(policy ?? UNBOUNDED), scopes: allowed } };
}

/** What bounds the bootstrap key: nothing. */
const UNBOUNDED: Policy = {
  name: "bootstrap key",
  scopes: [],
  budgets: [],
  limits: {},
  time_zone: "UTC",
  defaults: {},
  metadata: {},
};
