import { decrypt, encrypt, isEncryptedWith, parseVaultKeys, type VaultKeys } from "../keys/vault.ts";
import type { Provider } from "../providers/provider.ts";
import { providersOf } from "../providers/registry.ts";
import { organizationStub } from "./key-stubs.ts";
type Env = Pick<Cloudflare.Env, "ORGANIZATIONS" | "RHONE_CREDENTIALS_KEY">;
export type ProviderTable = ReadonlyMap<string, Provider>;

/** How long cached credentials are used. After half of it they are refreshed in the background. Milliseconds. */
const CACHE_MS = 20_000;
/** Organisations in the cache; beyond it the cache is cleared. */
const MAX_CACHED = 5_000;

type CachedProviders = {
  rows: ProviderTable;
  base: ProviderTable;
  credentials: string;
  loadedAt: number;
  refreshStartedAt: number;
};
const CACHE = new Map<string, CachedProviders>();

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
  const now = Date.now();
  const cached = CACHE.get(org);
  if (cached?.base !== base || now - cached.loadedAt > CACHE_MS) return await loadProviders(env, org, keys);
  if (now - cached.refreshStartedAt > CACHE_MS / 2) {
    cached.refreshStartedAt = now;
    waitUntil(loadProviders(env, org, keys).catch(() => {}));
  }
  return cached.rows;
}

export const vaultKeysFor = ({ RHONE_CREDENTIALS_KEY: setting }: Env): VaultKeys | undefined =>
  setting === undefined || setting === "" ? undefined : parseVaultKeys(setting);

/** The additional authenticated data of a credential: encrypted for one organisation and provider, it decrypts for no other. */
export const credentialContext = (org: string, provider: string): string => `${org}/${provider}`;

export const clearProviderCache = (org: string): boolean => CACHE.delete(org);

async function loadProviders(env: Env, org: string, keys: VaultKeys): Promise<ProviderTable> {
  const loadedAt = Date.now();
  const stub = organizationStub(env, org);
  const stored = await stub.credentials();
  const base = providersOf(env);
  const credentials = JSON.stringify(stored);
  const cached = CACHE.get(org);
  // The same table as long as nothing changed: catalogues are cached by table.
  if (cached?.credentials === credentials && cached.base === base) {
    CACHE.set(org, { ...cached, loadedAt, refreshStartedAt: loadedAt });
    return cached.rows;
  }
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
  if (CACHE.size >= MAX_CACHED) CACHE.clear();
  CACHE.set(org, { rows, base, credentials, loadedAt, refreshStartedAt: loadedAt });
  return rows;
}

function withoutCredential({ aws: _, apiKey: __, ...row }: Provider): Provider {
  console.error("a stored credential cannot be decrypted with RHONE_CREDENTIALS_KEY", row.id);
  return row;
}

/** The base URL stays the deployment's, so that no client decides where a credential is sent. */
function withCredential({ aws: _, ...row }: Provider, apiKey: string, account: string): Provider {
  return { ...row, apiKey, account, ...(row.auth === "none" && { auth: "bearer" as const }) };
}
