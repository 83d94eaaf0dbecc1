import type { ToolSecret } from "../keys/tool-secrets.ts";
import { decrypt } from "../keys/vault.ts";
import type { Webhook } from "../keys/webhooks.ts";
import type { Subscribers } from "../runs/notifier.ts";
import type { NotificationType } from "../runs/state/notification.ts";
import { organizationStub } from "./key-stubs.ts";
import { vaultKeysFor } from "./org-providers.ts";
import { RefreshedCache } from "./refreshed-cache.ts";

type Env = Pick<Cloudflare.Env, "ORGANIZATIONS" | "RHONE_CREDENTIALS_KEY">;

const SECRETS = new RefreshedCache<ToolSecret[]>(5_000);

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
  const all = await SECRETS.get(org, () => organizationStub(env, org).secrets(), { waitUntil });
  const found = all.find((one) => one.name === name);
  const value = found && decrypt(found.sealed, secretContext(org, name), keys);
  return value === undefined ? undefined : { value, hosts: found!.hosts };
}

/** After a change here; other isolates see it within seconds. */
export const clearToolSecrets = (org: string): boolean => SECRETS.delete(org);

const WEBHOOKS = new RefreshedCache<Webhook[]>(5_000);

/** The additional authenticated data of a webhook's secret: encrypted for one organisation and webhook, it decrypts for no other. */
export const webhookContext = (org: string, id: string): string => `${org}/webhook/${id}`;

/** The actor in the audit event of a webhook that a receiver has ended. */
const RECEIVER = "receiver";

/** Where messages about an organisation's runs are sent: its enabled webhooks. */
export const subscribersIn = (env: Env, waitUntil: (work: Promise<unknown>) => void): Subscribers => ({
  list: async (org) => {
    const keys = vaultKeysFor(env);
    if (keys === undefined) return [];
    const all = await WEBHOOKS.get(org, () => organizationStub(env, org).webhooks(), { waitUntil });
    return all.flatMap(({ id, url, events, status, sealed, previous }) => {
      const isBoth = previous !== undefined && previous.until > Date.now();
      const secrets = [sealed, ...(isBoth ? [previous.sealed] : [])].flatMap(
        (one) => decrypt(one, webhookContext(org, id), keys) ?? [],
      );
      return status === "enabled" && secrets.length > 0
        ? [{ id, url, events: events as NotificationType[], secrets }]
        : [];
    });
  },
  disable: async (org, id) => {
    const stub = organizationStub(env, org);
    const webhook = (await stub.webhooks()).find((one) => one.id === id);
    if (webhook === undefined) return;
    await stub.putWebhook(org, { ...webhook, status: "disabled" }, { actor: RECEIVER, action: "webhook.disabled" });
    clearWebhooks(org);
  },
});

/** After a change here; other isolates see it within seconds. */
export const clearWebhooks = (org: string): boolean => WEBHOOKS.delete(org);
