import { encrypt, decrypt, isEncryptedWith, type VaultKeys, vaultKeysOf } from "../keys/vault.ts";
import type { Provider } from "../providers/provider.ts";
import { providersOf } from "../providers/registry.ts";
import { organizationOf } from "./key-stubs.ts";
type Env = Pick<Cloudflare.Env, "ORGANIZATIONS" | "RHONE_CREDENTIALS_KEY">;
export type Rows = ReadonlyMap<string, Provider>;

/** For how long an isolate goes by the credentials it knows; from the half of it on it asks beside a call. Milliseconds. */
const KNOWN_MS = 20_000;
/** Organisations remembered by an isolate; beyond it, it begins anew. */
const MAX_KNOWN = 5_000;

type Known = { rows: Rows; base: Rows; told: string; askedAt: number; refreshedAt: number };
const KNOWN = new Map<string, Known>();

/**
 * The providers as an organisation calls them: with its own credentials where it has set some. Without a vault nothing
 * is stored, and nobody is asked.
 */
export async function providersFor(env: Env, org: string, later: (work: Promise<unknown>) => void): Promise<Rows> {
  const keys = keysOf(env);
  const base = providersOf(env);
  if (keys === undefined) return base;
  const now = Date.now();
  const known = KNOWN.get(org);
  if (known?.base !== base || now - known.askedAt > KNOWN_MS) return await ask(env, org, keys);
  if (now - known.refreshedAt > KNOWN_MS / 2) {
    known.refreshedAt = now;
    later(ask(env, org, keys).catch(() => {}));
  }
  return known.rows;
}

export const keysOf = ({ RHONE_CREDENTIALS_KEY: setting }: Env): VaultKeys | undefined =>
  setting === undefined || setting === "" ? undefined : vaultKeysOf(setting);

/** What a credential belongs to: sealed for one organisation and provider, it opens for no other. */
export const credentialContext = (org: string, provider: string): string => `${org}/${provider}`;

export const clearProviderCache = (org: string): boolean => KNOWN.delete(org);

async function ask(env: Env, org: string, keys: VaultKeys): Promise<Rows> {
  const askedAt = Date.now();
  const stub = organizationOf(env, org);
  const stored = await stub.credentials();
  const base = providersOf(env);
  const told = JSON.stringify(stored);
  const known = KNOWN.get(org);
  // The same rows as long as nothing changed: a catalogue is kept for each table.
  if (known?.told === told && known.base === base) {
    KNOWN.set(org, { ...known, askedAt, refreshedAt: askedAt });
    return known.rows;
  }
  const own = stored.flatMap(({ provider, sealed }): Provider[] => {
    const row = base.get(provider);
    const objectId = credentialContext(org, provider);
    const apiKey = decrypt(sealed, objectId, keys);
    if (row === undefined) return [];
    // Never the deployment's own instead: who pays would be another.
    if (apiKey === undefined) return [withoutCredential(row)];
    if (!isEncryptedWith(sealed, keys)) void stub.reseal(provider, encrypt(apiKey, objectId, keys)).catch(() => {});
    return [withCredential(row, apiKey, org)];
  });
  const rows = own.length === 0 ? base : new Map([...base, ...own.map((row) => [row.id, row] as const)]);
  if (KNOWN.size >= MAX_KNOWN) KNOWN.clear();
  KNOWN.set(org, { rows, base, told, askedAt, refreshedAt: askedAt });
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
