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

/** Who changes a webhook, of which organisation, and when. */
type Change = { org: string; actor: string; at: number };

/** Returns false if there are too many. */
export function addWebhook(storage: Storage, webhook: Webhook, by: Change): boolean {
  return storage.transact(() => {
    if (listWebhooks(storage).length >= MAX_WEBHOOKS) return false;
    write(storage, webhook, { ...by, action: "webhook.created" });
    return true;
  });
}

/** What of a webhook can be changed. `ifUrl`: only if it still has this URL. `rotated`: its new secret, encrypted, and the end of the one before. */
export type WebhookChanges = Partial<Pick<Webhook, "url" | "events" | "status">> & {
  ifUrl?: string;
  rotated?: { sealed: string; until: number };
};

/** Returns the webhook as it is then; undefined if there is none. */
export function changeWebhook(
  storage: Storage,
  id: string,
  { ifUrl, rotated, ...changes }: WebhookChanges,
  by: Change,
): Webhook | undefined {
  return storage.transact(() => {
    const found = listWebhooks(storage).find((one) => one.id === id);
    if (found === undefined || (ifUrl !== undefined && found.url !== ifUrl)) return found;
    const { previous, ...current } = found;
    const isPreviousValid = previous !== undefined && previous.until > by.at;
    const next: Webhook = {
      ...current,
      ...changes,
      ...(isPreviousValid && { previous }),
      ...(rotated && { sealed: rotated.sealed, previous: { sealed: found.sealed, until: rotated.until } }),
    };
    if (JSON.stringify(next) === JSON.stringify(found)) return found;
    write(storage, next, { ...by, action: actionOf(rotated !== undefined, ifUrl !== undefined) });
    return next;
  });
}

const actionOf = (isRotated: boolean, isByReceiver: boolean): AuditEvent["action"] =>
  isRotated ? "webhook.rotated" : isByReceiver ? "webhook.disabled" : "webhook.changed";

/** Returns false if there was none. */
export function removeWebhook({ sql, transact }: Storage, id: string, { at, org, actor }: Change): boolean {
  return transact(() => {
    if (sql("DELETE FROM webhooks WHERE id = ? RETURNING id", id).length === 0) return false;
    enqueueAudit(sql, { at, org, actor, action: "webhook.removed", target: id, details: {} });
    return true;
  });
}

/** Writes a webhook with its audit event, in which no secret is. */
function write({ sql }: Storage, webhook: Webhook, by: Change & { action: AuditEvent["action"] }): void {
  sql("INSERT OR REPLACE INTO webhooks (id, body) VALUES (?, ?)", webhook.id, JSON.stringify(webhook));
  const { id, url, events, status } = webhook;
  enqueueAudit(sql, { ...by, target: id, details: { url, events, status } });
}
