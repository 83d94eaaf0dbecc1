import { GatewayError } from "../canonical/error.ts";
import type { KeyCache, AuthenticatedKey } from "./key-cache.ts";
import { requireAddress, invalidKey } from "./key.ts";
import { coversModel, type SurfaceName } from "./policy.ts";
import type { Scope } from "./scopes.ts";
import { digestOf, objectIdInSecret } from "./secret.ts";
import type { RpcResult } from "./told.ts";
import { equalDigests } from "../wire/hash.ts";
import type { Caller } from "../gateway/call/call.ts";

/** No real key is near this long; a longer one is not worth hashing. */
const MAX_KEY_LENGTH = 512;

/** What admission needs to know, and whom it may ask. */
export type AuthContext = {
  admissions: KeyCache;
  adminKey: string | undefined;
  /** Asks the key's object; undefined when there can be none at that place. */
  ask: (place: string, digest?: string) => Promise<RpcResult<AuthenticatedKey>> | undefined;
  /** From where the caller comes, as the network says. */
  address: string | undefined;
  later: (work: Promise<unknown>) => void;
};

/** Who calls with this credential. Throws `auth.missing`, `auth.invalid`, `auth.expired` or `auth.forbidden`. */
export async function authenticate(given: string | undefined, gate: AuthContext): Promise<Caller> {
  if (given === undefined || given === "") {
    throw new GatewayError("auth.missing", "a key is required: send Authorization: Bearer rhone_sk_…");
  }
  const { adminKey } = gate;
  if (adminKey === undefined || adminKey === "") {
    throw new GatewayError(
      "auth.invalid",
      "this deployment has no RHONE_ADMIN_KEY yet: set it with wrangler secret put RHONE_ADMIN_KEY",
    );
  }
  if (given.length > MAX_KEY_LENGTH) throw invalidKey();
  const digest = digestOf(given);
  if (equalDigests(digest, digestOf(adminKey))) return { org: DEFAULT_ORG, keyId: ADMIN_KEY_ID };
  const place = objectIdInSecret(given);
  if (place === undefined) throw invalidKey();
  return await admitted(gate, digest, place, digest);
}

/** Who calls with something that this key has given out: it dies with the key. */
export async function authenticateKeyId(keyId: string, place: string | undefined, gate: AuthContext): Promise<Caller> {
  if (keyId === ADMIN_KEY_ID) return { org: DEFAULT_ORG, keyId };
  if (place === undefined) throw invalidKey();
  return await admitted(gate, keyId, place);
}

async function admitted(
  { admissions, ask, address, later }: AuthContext,
  name: string,
  place: string,
  digest?: string,
): Promise<Caller> {
  const asked = async (): Promise<RpcResult<AuthenticatedKey>> => {
    const told = ask(place, digest);
    if (told === undefined) throw invalidKey();
    return await told;
  };
  const { keyId, org, policy, payers } = await admissions.get(name, asked, later);
  requireAddress(policy.allowed_ips, address);
  return { org, keyId, policy, ...(payers.length > 0 && { payers }) };
}

/** Where the bootstrap key belongs. */
export const DEFAULT_ORG = "org_default";
export const ADMIN_KEY_ID = "key_admin";
/** Not so a client token that it gave out. */
export const isAdmin = ({ keyId, policy }: Caller): boolean => keyId === ADMIN_KEY_ID && policy === undefined;

/** Throws `auth.forbidden`. */
export function requireScope({ policy }: Caller, scope: Scope): void {
  if (policy === undefined || policy.scopes.includes(scope)) return;
  throw new GatewayError("auth.forbidden", `the key has no scope ${scope}`);
}

/** Throws `auth.forbidden`. */
export function requireSurface({ policy }: Caller, surface: string): void {
  const allowed = policy?.allowed_surfaces;
  const name = (
    surface.startsWith("images.") || surface.startsWith("audio.") ? surface.split(".")[0] : surface
  ) as SurfaceName;
  if (allowed === undefined || allowed.includes(name)) return;
  throw new GatewayError("auth.forbidden", `the key may not use the surface ${name}`);
}

/** Whether the key may have this target: by the name that was asked, the provider's own, or that below its provider. */
export function allowsModel(
  { policy }: Caller,
  asked: string,
  { provider, model }: { provider: { id: string }; model: string },
): boolean {
  const allowed = policy?.allowed_models;
  if (allowed === undefined) return true;
  const names = [asked, model, `${provider.id}/${model}`];
  return allowed.some((pattern) => names.some((name) => coversModel(pattern, name)));
}

/** Throws `model.not_allowed`. */
export function requireModel(caller: Caller, asked: string, target: Parameters<typeof allowsModel>[2]): void {
  if (allowsModel(caller, asked, target)) return;
  throw new GatewayError("model.not_allowed", `model: the key may not use ${asked.slice(0, 200)}`, { param: "model" });
}
