import { encrypt, decrypt, isEncryptedWith, type VaultKeys, vaultKeysOf } from "../keys/vault.ts";
import type { Provider } from "../providers/provider.ts";
import { providersOf } from "../providers/registry.ts";
import { organizationStub } from "./key-stubs.ts";
type Env = Pick<Cloudflare.Env, "ORGANIZATIONS" | "RHONE_CREDENTIALS_KEY">;
export type ProviderTable = ReadonlyMap<string, Provider>;

/** For how long an isolate goes by the credentials it knows; from the half of it on it asks beside a call. Milliseconds. */
const CACHE_MS = 20_000;
/** Organisations remembered by an isolate; beyond it, it begins anew. */
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
 * The providers as an organisation calls them: with its own credentials where it has set some. Without a vault nothing
 * is stored, and nobody is asked.
 */
export async function providersFor(
  env: Env,
  org: string,
  later: (work: Promise<unknown>) => void,
): Promise<ProviderTable> {
  const keys = vaultKeysFor(env);
  const base = providersOf(env);
  if (keys === undefined) return base;
  const now = Date.now();
  const cached = CACHE.get(org);
  if (cached?.base !== base || now - cached.loadedAt > CACHE_MS) return await loadProviders(env, org, keys);
  if (now - cached.refreshStartedAt > CACHE_MS / 2) {
    cached.refreshStartedAt = now;
    later(loadProviders(env, org, keys).catch(() => {}));
  }
  return cached.rows;
}

export const vaultKeysFor = ({ RHONE_CREDENTIALS_KEY: setting }: Env): VaultKeys | undefined =>
  setting === undefined || setting === "" ? undefined : vaultKeysOf(setting);

/** What a credential belongs to: sealed for one organisation and provider, it opens for no other. */
export const credentialContext = (org: string, provider: string): string => `${org}/${provider}`;

export const clearProviderCache = (org: string): boolean => CACHE.delete(org);

async function loadProviders(env: Env, org: string, keys: VaultKeys): Promise<ProviderTable> {
  const loadedAt = Date.now();
  const stub = organizationStub(env, org);
  const stored = await stub.credentials();
  const base = providersOf(env);
  const credentials = JSON.stringify(stored);
  const cached = CACHE.get(org);
  // The same rows as long as nothing changed: a catalogue is kept for each table.
  if (cached?.credentials === credentials && cached.base === base) {
    CACHE.set(org, { ...cached, loadedAt, refreshStartedAt: loadedAt });
    return cached.rows;
  }
  const own = stored.flatMap(({ provider, sealed }): Provider[] => {
    const row = base.get(provider);
    const context = credentialContext(org, provider);
    const apiKey = decrypt(sealed, context, keys);
    if (row === undefined) return [];
    // Never the deployment's own instead: who pays would be another.
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
  console.error("a stored credential does not open with RHONE_CREDENTIALS_KEY", row.id);
  return row;
}

/** Its address stays the deployment's: nobody's credential goes where a client says. */
function withCredential({ aws: _, ...row }: Provider, apiKey: string, account: string): Provider {
  return { ...row, apiKey, account, ...(row.auth === "none" && { auth: "bearer" as const }) };
}
