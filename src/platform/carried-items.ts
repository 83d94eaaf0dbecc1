import { CarriedItems } from "../keys/carried-items.ts";
import { deriveVaultKeys, type VaultKeys } from "../keys/vault.ts";

type Env = Pick<Cloudflare.Env, "RHONE_ADMIN_KEY" | "RHONE_CREDENTIALS_KEY">;

/** By the setting that they come from, of which a deployment has one. */
let derived: { setting: string; keys: VaultKeys } | undefined;

/**
 * The sealed reasoning that clients of an organisation carry. Its keys follow from `RHONE_CREDENTIALS_KEY`, which may have
 * several while it is being replaced, or else from the bootstrap key.
 */
export function carriedItemsFor({ RHONE_CREDENTIALS_KEY, RHONE_ADMIN_KEY }: Env, org: string): CarriedItems {
  const setting = RHONE_CREDENTIALS_KEY || RHONE_ADMIN_KEY || "";
  if (setting === "") return new CarriedItems(undefined, org);
  if (derived?.setting !== setting) {
    const secrets = RHONE_CREDENTIALS_KEY ? setting.split(",").map((one) => one.trim()) : [setting];
    derived = { setting, keys: deriveVaultKeys(secrets, "carried items") };
  }
  return new CarriedItems(derived.keys, org);
}
