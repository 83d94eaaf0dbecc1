import { GatewayError } from "../canonical/error.ts";
import type { KeyCache, AuthenticatedKey } from "./key-cache.ts";
import { requireAddress, invalidKey } from "./key.ts";
import { digestOf, objectIdInSecret } from "./secret.ts";
import { areDigestsEqual } from "../wire/hash.ts";
import type { Caller } from "./caller.ts";
import { isToken, readToken, type Claims } from "./client-token.ts";
import { objectIdIn } from "../wire/id.ts";
import type { RpcResult } from "../canonical/rpc-error.ts";
import type { Policy } from "./policy.ts";

/** No real key is near this long; a longer one is not worth hashing. */
const MAX_KEY_LENGTH = 512;

/** What admission needs to know, and whom it may ask. */
export type AuthContext = {
  keyCache: KeyCache;
  adminKey: string | undefined;
  /** Asks the key's object; undefined when there can be none at that place. */
  fetchKey: (objectId: string, digest?: string) => Promise<RpcResult<AuthenticatedKey>> | undefined;
  /** From where the caller comes, as the network says. */
  address: string | undefined;
  waitUntil: (work: Promise<unknown>) => void;
};

/** Who calls with this credential. Throws `auth.missing`, `auth.invalid`, `auth.expired` or `auth.forbidden`. */
export async function authenticate(credential: string | undefined, context: AuthContext): Promise<Caller> {
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

/** Who calls with something that this key has given out: it dies with the key. */
export async function authenticateKeyId(
  keyId: string,
  objectId: string | undefined,
  context: AuthContext,
): Promise<Caller> {
  if (keyId === ADMIN_KEY_ID) return { org: DEFAULT_ORG, keyId };
  if (objectId === undefined) throw invalidKey();
  return await findCaller(context, keyId, objectId);
}

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

/** Where the bootstrap key belongs. */
export const DEFAULT_ORG = "org_default";
export const ADMIN_KEY_ID = "key_admin";
/** Not so a client token that it gave out. */
export const isAdmin = ({ keyId, policy }: Caller): boolean => keyId === ADMIN_KEY_ID && policy === undefined;

/** Who calls with this credential: a key, or a client token that a key has given out. Throws as `admit` does. */
export async function authenticateBearer(
  credential: string | undefined,
  context: AuthContext,
  now: number,
): Promise<Caller> {
  if (credential === undefined || !isToken(credential)) return await authenticate(credential, context);
  const { adminKey } = context;
  // Without a secret nothing can have been signed with it.
  if (adminKey === undefined || adminKey === "")
    throw new GatewayError("auth.invalid", "the client token is not valid");
  return await authenticateClaims(readToken(adminKey, credential, now), context);
}

/** What a token allows as long as its key does. Throws `auth.invalid` when the key is dead. */
export async function authenticateClaims(
  { keyId, org, session, scopes, expiresAt }: Claims,
  context: AuthContext,
): Promise<Caller> {
  const caller = await authenticateKeyId(keyId, objectIdIn("key", keyId), context);
  // The bootstrap key gives tokens out in the organisation that it acts in.
  if (caller.org !== org && keyId !== ADMIN_KEY_ID)
    throw new GatewayError("auth.invalid", "the client token is not valid");
  const { policy } = caller;
  const allowed = policy === undefined ? scopes : scopes.filter((scope) => policy.scopes.includes(scope));
  return { ...caller, org, session, expiresAt, policy: { ...(policy ?? UNBOUNDED_POLICY), scopes: allowed } };
}

/** What bounds the bootstrap key: nothing. */
const UNBOUNDED_POLICY: Policy = {
  name: "bootstrap key",
  scopes: [],
  budgets: [],
  limits: {},
  time_zone: "UTC",
  defaults: {},
  metadata: {},
};
