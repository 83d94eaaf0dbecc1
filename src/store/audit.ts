import { and, desc, eq, lt } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { auditEvents, keys, organizations } from "./schema.ts";

/** A key as lists show it, without secrets and their digests. Times are Unix milliseconds. */
type ListedKey = {
  id: string;
  org: string;
  name: string;
  policy: object;
  hint: string;
  createdBy: string;
  createdAt: number;
  expiresAt?: number;
  revokedAt?: number;
};

type ListedOrganization = { id: string; name: string; createdAt: number };

/** A change of a key or an organisation, and its state after the change. Holds no secret and no digest of one. */
export type AuditEvent = {
  /** Sorts by time. */
  id: string;
  at: number;
  org: string;
  /** Id of the key that made the change. */
  actor: string;
  action:
    | "key.created"
    | "key.changed"
    | "key.rotated"
    | "key.revoked"
    | "organization.created"
    | "organization.changed"
    | "credential.set"
    | "secret.set"
    | "secret.removed"
    | "credential.removed"
    | "webhook.created"
    | "webhook.changed"
    | "webhook.rotated"
    | "webhook.disabled"
    | "webhook.removed"
    | "harness.created"
    | "harness.changed"
    | "harness.deleted"
    | "safety_profile.changed";
  /** Id of the changed key or organisation. */
  target: string;
  /** The members of the request. */
  details: object;
  key?: ListedKey;
  organization?: ListedOrganization;
};

/** Writes events and the changed keys and organisations to D1, in order and in one transaction. Idempotent. */
export async function writeAuditEvents(d1: D1Database, changes: readonly AuditEvent[]): Promise<void> {
  const db = drizzle(d1);
  const statements = changes.flatMap(({ key, organization, ...event }) => [
    db.insert(auditEvents).values(event).onConflictDoNothing(),
    ...(key === undefined
      ? []
      : [
          db
            .insert(keys)
            .values(key)
            .onConflictDoUpdate({ target: keys.id, set: toKeyRow(key) }),
        ]),
    ...(organization === undefined
      ? []
      : [
          db
            .insert(organizations)
            .values(organization)
            .onConflictDoUpdate({ target: organizations.id, set: organization }),
        ]),
  ]);
  const [first, ...rest] = statements;
  if (first !== undefined) await db.batch([first, ...rest]);
}

/** Absent members become null: an update must not leave older values. */
const toKeyRow = (key: ListedKey): typeof keys.$inferInsert => ({ expiresAt: null, revokedAt: null, ...key });

/** A page of an organisation's keys, newest first. `after`: the last id of the previous page. */
export async function listKeys(
  d1: D1Database,
  org: string,
  { limit, after }: { limit: number; after?: string | undefined },
): Promise<ListedKey[]> {
  const rows = await drizzle(d1)
    .select()
    .from(keys)
    .where(and(eq(keys.org, org), after === undefined ? undefined : lt(keys.id, after)))
    .orderBy(desc(keys.id))
    .limit(limit);
  return rows.map(({ expiresAt, revokedAt, policy, ...row }) => ({
    ...row,
    policy: policy as object,
    ...(expiresAt !== null && { expiresAt }),
    ...(revokedAt !== null && { revokedAt }),
  }));
}

/** All organisations, oldest first, at most 1000. */
export const listOrganizations = (d1: D1Database): Promise<ListedOrganization[]> =>
  drizzle(d1).select().from(organizations).orderBy(organizations.createdAt, organizations.id).limit(1000);
