import { enqueueAudit } from "../store/audit-outbox.ts";
import type { AuditEvent } from "../store/audit.ts";
import type { Storage } from "../store/sql.ts";

/** Schema of a step of the organisation's database. */
export const WEBHOOKS_SCHEMA = "CREATE TABLE webhooks (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID";

/**
 * Where messages about an organisation's runs are sent. `sealed`: the encrypted secret (vault.ts) with which messages are signed;
 * `previous`: the one before, which signs as well until `until`. Times are Unix milliseconds.
 */
export type Webhook = {
  id: string;
  url: string;
  events: string[];
  status: "enabled" | "disabled";
  sealed: string;
  previous?: { sealed: string; until: number };
  createdAt: number;
};

/** Webhooks of an organisation. */
const MAX_WEBHOOKS = 20;

export const listWebhooks = ({ sql }: Storage): Webhook[] =>
  sql<{ body: string }>("SELECT body FROM webhooks ORDER BY id").map(({ body }) => JSON.parse(body) as Webhook);

/** Who changes a webhook, and how. */
export type WebhookChange = { actor: string; action: Extract<AuditEvent["action"], `webhook.${string}`> };

/** In which organisation, and when. */
type Change = WebhookChange & { org: string; at: number };

/** Adds or replaces a webhook. Returns false if there are too many. */
export function putWebhook(storage: Storage, webhook: Webhook, { at, org, actor, action }: Change): boolean {
  const { sql, transact } = storage;
  return transact(() => {
    const all = listWebhooks(storage);
    if (all.length >= MAX_WEBHOOKS && all.every(({ id }) => id !== webhook.id)) return false;
    sql("INSERT OR REPLACE INTO webhooks (id, body) VALUES (?, ?)", webhook.id, JSON.stringify(webhook));
    const { url, events, status } = webhook;
    enqueueAudit(sql, { at, org, actor, action, target: webhook.id, details: { url, events, status } });
    return true;
  });
}

/** Returns false if there was none. */
export function removeWebhook({ sql, transact }: Storage, id: string, { at, org, actor, action }: Change): boolean {
  return transact(() => {
    if (sql("DELETE FROM webhooks WHERE id = ? RETURNING id", id).length === 0) return false;
    enqueueAudit(sql, { at, org, actor, action, target: id, details: {} });
    return true;
  });
}
