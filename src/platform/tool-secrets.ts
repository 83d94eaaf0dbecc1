import type { ToolSecret } from "../keys/tool-secrets.ts";
import { decrypt } from "../keys/vault.ts";
import { organizationStub } from "./key-stubs.ts";
import { vaultKeysFor } from "./org-providers.ts";
import { RefreshedCache } from "./refreshed-cache.ts";

type Env = Pick<Cloudflare.Env, "ORGANIZATIONS" | "RHONE_CREDENTIALS_KEY">;

const CACHE = new RefreshedCache<ToolSecret[]>(5_000);

/** A secret of an organisation, decrypted. `hosts`: to which it may be sent. */
export type OpenSecretOfTool = { value: string; hosts: readonly string[] };

/** The additional authenticated data of a secret: encrypted for one organisation and name, it decrypts for no other. */
export const secretContext = (org: string, name: string): string => `${org}/secret/${name}`;

/** The organisation's secret of this name; undefined if there is none, or none that can be decrypted. */
export async function findToolSecret(
  env: Env,
  org: string,
  name: string,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<OpenSecretOfTool | undefined> {
  const keys = vaultKeysFor(env);
  if (keys === undefined) return undefined;
  const all = await CACHE.get(org, () => organizationStub(env, org).secrets(), { waitUntil });
  const found = all.find((one) => one.name === name);
  const value = found && decrypt(found.sealed, secretContext(org, name), keys);
  return value === undefined ? undefined : { value, hosts: found!.hosts };
}

/** After a change here; other isolates see it within seconds. */
export const clearToolSecrets = (org: string): boolean => CACHE.delete(org);
