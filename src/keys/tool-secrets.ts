import { enqueueAudit } from "../store/audit-outbox.ts";
import type { Storage } from "../store/sql.ts";

/** Schema of a step of the organisation's database. */
export const TOOL_SECRETS_SCHEMA = `CREATE TABLE tool_secrets (
   name TEXT PRIMARY KEY, sealed TEXT NOT NULL, hosts TEXT NOT NULL, set_at INTEGER NOT NULL
 ) WITHOUT ROWID`;

/** A secret of an organisation's tools. `sealed`: encrypted (vault.ts). `hosts`: to which it may be sent. `setAt`: Unix milliseconds. */
export type ToolSecret = { name: string; sealed: string; hosts: string[]; setAt: number };

/** Secrets of an organisation; each is of at most so many. */
const MAX_SECRETS = 100;

export const listToolSecrets = ({ sql }: Storage): ToolSecret[] =>
  sql<{ name: string; sealed: string; hosts: string; set_at: number }>("SELECT * FROM tool_secrets ORDER BY name").map(
    ({ hosts, set_at: setAt, ...rest }) => ({ ...rest, hosts: JSON.parse(hosts) as string[], setAt }),
  );

/** Who changes a secret, of which organisation, and when. */
type Change = { org: string; actor: string; at: number };

/** Sets or replaces a secret. Returns false if there are too many. */
export function setToolSecret(
  storage: Storage,
  { name, sealed, hosts }: Omit<ToolSecret, "setAt">,
  { org, actor, at }: Change,
): boolean {
  const { sql, transact } = storage;
  return transact(() => {
    const all = listToolSecrets(storage);
    if (all.length >= MAX_SECRETS && all.every((one) => one.name !== name)) return false;
    const row = [name, sealed, JSON.stringify(hosts), at];
    sql("INSERT OR REPLACE INTO tool_secrets (name, sealed, hosts, set_at) VALUES (?, ?, ?, ?)", ...row);
    enqueueAudit(sql, { at, org, actor, action: "secret.set", target: name, details: { hosts } });
    return true;
  });
}

/** Returns false if there was none. */
export function removeToolSecret({ sql, transact }: Storage, name: string, { org, actor, at }: Change): boolean {
  return transact(() => {
    if (sql("DELETE FROM tool_secrets WHERE name = ? RETURNING name", name).length === 0) return false;
    enqueueAudit(sql, { at, org, actor, action: "secret.removed", target: name, details: {} });
    return true;
  });
}
