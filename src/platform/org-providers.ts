import { invalid } from "../canonical/error.ts";
import { decrypt, encrypt, isEncryptedWith, parseVaultKeys, type VaultKeys } from "../keys/vault.ts";
import type { Provider } from "../providers/provider.ts";
import { providersOf } from "../providers/registry.ts";
import { organizationStub } from "./key-stubs.ts";
import { RefreshedCache } from "./refreshed-cache.ts";

type Env = Pick<Cloudflare.Env, "ORGANIZATIONS" | "RHONE_CREDENTIALS_KEY">;
export type ProviderTable = ReadonlyMap<string, Provider>;

/** `credentials`: what the rows were made of. */
type OrganizationProviders = { rows: ProviderTable; base: ProviderTable; credentials: string };

const CACHE = new RefreshedCache<OrganizationProviders>(5_000);

/**
 * The provider rows of an organisation: the deployment's, with the organisation's own credentials where it has set
 * some. Without `RHONE_CREDENTIALS_KEY` no credentials are stored and none are looked up.
 */
export async function providersFor(
  env: Env,
  org: string,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<ProviderTable> {
  const keys = vaultKeysFor(env);
  const base = providersOf(env);
  if (keys === undefined) return base;
  const load = (known: OrganizationProviders | undefined): Promise<OrganizationProviders> =>
    loadProviders({ env, org, keys }, known);
  const { rows } = await CACHE.get(org, load, { waitUntil, isCurrent: (cached) => cached.base === base });
  return rows;
}

export const vaultKeysFor = ({ RHONE_CREDENTIALS_KEY: setting }: Env): VaultKeys | undefined =>
  setting === undefined || setting === "" ? undefined : parseVaultKeys(setting);

/** Throws `request.invalid` if the deployment has no key to encrypt with. `what` cannot be stored then. */
export function requireVaultKeys(env: Env, what: string): VaultKeys {
  const keys = vaultKeysFor(env);
  if (keys !== undefined) return keys;
  throw invalid(
    "RHONE_CREDENTIALS_KEY",
    `expected this deployment secret to be 32 bytes in base64; ${what} cannot be stored without it`,
  );
}

/** The additional authenticated data of a credential: encrypted for one organisation and provider, it decrypts for no other. */
export const credentialContext = (org: string, provider: string): string => `${org}/${provider}`;

export const clearProviderCache = (org: string): boolean => CACHE.delete(org);

async function loadProviders(
  { env, org, keys }: { env: Env; org: string; keys: VaultKeys },
  known: OrganizationProviders | undefined,
): Promise<OrganizationProviders> {
  const stub = organizationStub(env, org);
  const stored = await stub.credentials();
  const base = providersOf(env);
  const credentials = JSON.stringify(stored);
  // The same table as long as nothing changed: catalogues are cached by table.
  if (known?.credentials === credentials && known.base === base) return known;
  const own = stored.flatMap(({ provider, sealed }): Provider[] => {
    const row = base.get(provider);
    const context = credentialContext(org, provider);
    const apiKey = decrypt(sealed, context, keys);
    if (row === undefined) return [];
    // Never fall back to the deployment's credential: the deployment would pay.
    if (apiKey === undefined) return [withoutCredential(row)];
    if (!isEncryptedWith(sealed, keys)) void stub.reseal(provider, encrypt(apiKey, context, keys)).catch(() => {});
    return [withCredential(row, apiKey, org)];
  });
  const rows = own.length === 0 ? base : new Map([...base, ...own.map((row) => [row.id, row] as const)]);
  return { rows, base, credentials };
}

function withoutCredential({ aws: _, apiKey: __, ...row }: Provider): Provider {
  console.error("a stored credential cannot be decrypted with RHONE_CREDENTIALS_KEY", row.id);
  return row;
}

/** The base URL stays the deployment's, so that no client decides where a credential is sent. */
function withCredential({ aws: _, ...row }: Provider, apiKey: string, account: string): Provider {
  return { ...row, apiKey, account, ...(row.auth === "none" && { auth: "bearer" as const }) };
}
