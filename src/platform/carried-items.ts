import { CarriedItems } from "../keys/carried-items.ts";
import { deriveVaultKeys, type VaultKeys } from "../keys/vault.ts";

type Env = Pick<Cloudflare.Env, "RHONE_ADMIN_KEY" | "RHONE_CREDENTIALS_KEY">;

/** By the settings that they come from, of which a deployment has one pair. */
let derived: { settings: string; keys: VaultKeys } | undefined;

/** The sealed reasoning that clients of an organisation carry. Its keys follow from `RHONE_CREDENTIALS_KEY`, or the bootstrap key. */
export function carriedItemsFor({ RHONE_CREDENTIALS_KEY, RHONE_ADMIN_KEY }: Env, org: string): CarriedItems {
  const settings = RHONE_CREDENTIALS_KEY || RHONE_ADMIN_KEY;
  if (settings === undefined || settings === "") return new CarriedItems(undefined, org);
  if (derived?.settings !== settings) derived = { settings, keys: deriveVaultKeys(settings, "carried items") };
  return new CarriedItems(derived.keys, org);
}
