import { GatewayError } from "../canonical/error.ts";
import type { RpcResult } from "../canonical/rpc-error.ts";
import { areDigestsEqual } from "../wire/hash.ts";
import { objectIdIn } from "../wire/id.ts";
import type { Caller } from "./caller.ts";
import { type Claims, isToken, readToken } from "./client-token.ts";
import type { AuthenticatedKey, KeyCache } from "./key-cache.ts";
import { invalidKey, requireAddress } from "./key.ts";
import type { Policy } from "./policy.ts";
import { digestOf, objectIdInSecret } from "./secret.ts";

/** Longest credential that is hashed: a key has 104 characters, and a client must not choose the cost of hashing. Characters. */
const MAX_KEY_LENGTH = 512;

/** The services and facts that authentication uses. `adminKey`: the deployment's RHONE_ADMIN_KEY. */
export type AuthContext = {
  keyCache: KeyCache;
  adminKey: string | undefined;
  /** Fetches a key from its object, by a secret's digest or by its id alone; undefined if the object id is malformed. */
  fetchKey: (objectId: string, digest?: string) => Promise<RpcResult<AuthenticatedKey>> | undefined;
  /** The IP address of the caller as the platform reports it. */
  address: string | undefined;
  waitUntil: (work: Promise<unknown>) => void;
};

/** The caller of a key's secret. Throws `auth.missing`, `auth.invalid`, `auth.expired` or `auth.forbidden`. */
async function authenticate(credential: string | undefined, context: AuthContext): Promise<Caller> {
  if (credential === undefined || credential === "") {
    throw new GatewayError("auth.missing", "a key is required: send Authorization: Bearer rhone_sk_…");
  }
  const { adminKey } = context;
  if (adminKey === undefined || adminKey === "") {
    throw new GatewayError(
      "auth.invalid",
      "this deployment has no RHONE_ADMIN_KEY yet: set it with wrangler secret put RHONE_ADMIN_KEY",
    );
  }
  if (credential.length > MAX_KEY_LENGTH) throw invalidKey();
  const digest = digestOf(credential);
  if (areDigestsEqual(digest, digestOf(adminKey))) return { org: DEFAULT_ORG, keyId: ADMIN_KEY_ID };
  const objectId = objectIdInSecret(credential);
  if (objectId === undefined) throw invalidKey();
  return await findCaller(context, digest, objectId, digest);
}

/** The caller of something that a key issued, such as a client token; it is valid only as long as the key. Throws as `authenticate` does. */
export async function authenticateKeyId(
  keyId: string,
  objectId: string | undefined,
  context: AuthContext,
): Promise<Caller> {
  if (keyId === ADMIN_KEY_ID) return { org: DEFAULT_ORG, keyId };
  if (objectId === undefined) throw invalidKey();
  return await findCaller(context, keyId, objectId);
}

/** Looks a key up in the cache or its object and checks the address. `cacheKey`: the secret's digest or the key's id. */
async function findCaller(
  { keyCache, fetchKey, address, waitUntil }: AuthContext,
  cacheKey: string,
  objectId: string,
  digest?: string,
): Promise<Caller> {
  const fetchResult = async (): Promise<RpcResult<AuthenticatedKey>> => {
    const result = fetchKey(objectId, digest);
    if (result === undefined) throw invalidKey();
    return await result;
  };
  const { keyId, org, policy, payers } = await keyCache.get(cacheKey, fetchResult, waitUntil);
  requireAddress(policy.allowed_ips, address);
  return { org, keyId, policy, ...(payers.length > 0 && { payers }) };
}

/** The organisation of the bootstrap key, which is RHONE_ADMIN_KEY. */
export const DEFAULT_ORG = "org_default";
export const ADMIN_KEY_ID = "key_admin";
/** True for the bootstrap key itself, not for a client token that it issued: that one has a policy. */
export const isAdmin = ({ keyId, policy }: Caller): boolean => keyId === ADMIN_KEY_ID && policy === undefined;

/** The caller of a bearer credential: a key's secret or a client token. `now`: Unix milliseconds. Throws as `authenticate` does. */
export async function authenticateBearer(
  credential: string | undefined,
  context: AuthContext,
  now: number,
): Promise<Caller> {
  if (credential === undefined || !isToken(credential)) return await authenticate(credential, context);
  const { adminKey } = context;
  // Tokens are signed with a key that is derived from this secret: without it none can be valid.
  if (adminKey === undefined || adminKey === "")
    throw new GatewayError("auth.invalid", "the client token is not valid");
  return await authenticateClaims(readToken(adminKey, credential, now), context);
}

/** The caller of a verified client token. Its scopes are those that its key still has. Throws `auth.invalid` if the key is revoked or unknown. */
export async function authenticateClaims(
  { keyId, org, session, scopes, expiresAt }: Claims,
  context: AuthContext,
): Promise<Caller> {
  const caller = await authenticateKeyId(keyId, objectIdIn("key", keyId), context);
  // The bootstrap key may act in any organisation, so its tokens carry the one they were issued in.
  if (caller.org !== org && keyId !== ADMIN_KEY_ID)
    throw new GatewayError("auth.invalid", "the client token is not valid");
  const { policy } = caller;
  const allowed = policy === undefined ? scopes : scopes.filter((scope) => policy.scopes.includes(scope));
  return { ...caller, org, session, expiresAt, policy: { ...(policy ?? UNBOUNDED_POLICY), scopes: allowed } };
}

/** The policy of tokens of the bootstrap key, whose scopes are then replaced by the token's: no other limits. */
export const UNBOUNDED_POLICY: Policy = {
  name: "bootstrap key",
  scopes: [],
  budgets: [],
  limits: {},
  time_zone: "UTC",
  defaults: {},
  metadata: {},
};
