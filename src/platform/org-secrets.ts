import type { ToolSecret } from "../keys/tool-secrets.ts";
import { decrypt } from "../keys/vault.ts";
import type { Webhook } from "../keys/webhooks.ts";
import type { Subscribers } from "../runs/notifier.ts";
import type { NotificationType } from "../runs/state/notification.ts";
import { organizationStub } from "./key-stubs.ts";
import { vaultKeysFor } from "./org-providers.ts";
import { RefreshedCache } from "./refreshed-cache.ts";
import { getIsolateRouter } from "./router.ts";

type Env = Pick<Cloudflare.Env, "ORGANIZATIONS" | "RHONE_CREDENTIALS_KEY" | "RHONE_CONFIG" | "BLOBS">;

const SECRETS = new RefreshedCache<ToolSecret[]>(5_000);

/** A secret of an organisation, decrypted. `hosts`: to which it may be sent. */
export type OpenSecretOfTool = { value: string; hosts: readonly string[] };

/** The additional authenticated data of a secret: encrypted for one organisation and name, it decrypts for no other. */
export const secretContext = (org: string, name: string): string => `${org}/secret/${name}`;

/**
 * The organisation's secret of this name, or else the deployment's, if that lets tools have it. Undefined if there is none, or if the
 * organisation's cannot be decrypted.
 */
export async function findToolSecret(
  env: Env,
  org: string,
  name: string,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<OpenSecretOfTool | undefined> {
  const all = await SECRETS.get(org, () => organizationStub(env, org).secrets(), { waitUntil });
  const found = all.find((one) => one.name === name);
  if (found === undefined) return findDeploymentSecret(env, name);
  const keys = vaultKeysFor(env);
  const value = keys && decrypt(found.sealed, secretContext(org, name), keys);
  return value === undefined ? undefined : { value, hosts: found.hosts };
}

/** A variable of the deployment that `tool_secrets` in RHONE_CONFIG lists. No other one is ever read. */
function findDeploymentSecret(env: Env, name: string): OpenSecretOfTool | undefined {
  const listed = getIsolateRouter(env).config.toolSecrets.get(name);
  const value = listed && (env as Readonly<Record<string, unknown>>)[name];
  return typeof value === "string" && value !== "" ? { value, hosts: listed!.hosts } : undefined;
}

/** After a change here; other isolates see it within 20 seconds. */
export const clearToolSecrets = (org: string): boolean => SECRETS.delete(org);

const WEBHOOKS = new RefreshedCache<Webhook[]>(5_000);

/** The additional authenticated data of a webhook's secret: encrypted for one organisation and webhook, it decrypts for no other. */
export const webhookContext = (org: string, id: string): string => `${org}/webhook/${id}`;

/** The actor in the audit event of a webhook that a receiver has ended. */
const RECEIVER = "receiver";

/** Where messages about an organisation's runs are sent: its webhooks. */
export const subscribersIn = (env: Env, waitUntil: (work: Promise<unknown>) => void): Subscribers => ({
  list: async (org, { isFresh = false } = {}) => {
    if (isFresh) clearWebhooks(org);
    const keys = vaultKeysFor(env);
    const all = await WEBHOOKS.get(org, () => organizationStub(env, org).webhooks(), { waitUntil });
    return all.map(({ id, url, events, status, sealed, previous }) => {
      const isBoth = previous !== undefined && previous.until > Date.now();
      const secrets = [sealed, ...(isBoth ? [previous.sealed] : [])].flatMap((one) =>
        keys === undefined ? [] : (decrypt(one, webhookContext(org, id), keys) ?? []),
      );
      return { id, url, events: events as NotificationType[], secrets, isEnabled: status === "enabled" };
    });
  },
  disable: async (org, { id, url }) => {
    await organizationStub(env, org).changeWebhook(org, id, { status: "disabled", ifUrl: url }, RECEIVER);
    clearWebhooks(org);
  },
});

/** After a change here; other isolates see it within 20 seconds. */
export const clearWebhooks = (org: string): boolean => WEBHOOKS.delete(org);
