import { GatewayError, invalid } from "../canonical/error.ts";
import { AUDIT_SCHEMA, enqueueAudit } from "../store/audit-outbox.ts";
import type { AuditEvent } from "../store/audit.ts";
import type { Storage } from "../store/sql.ts";
import { areSecretsEqual } from "../wire/hash.ts";
import { LEDGER_MIGRATIONS } from "./budget/ledger.ts";
import { containsRange, isRange } from "./ip-ranges.ts";
import { type Policy, requireSubset } from "./policy.ts";
import { SCOPE_SET, withLaterScopes } from "./scopes.ts";

/** A key to create. `payers`: ids of the keys above it, which are charged for its calls as well. `digest`, `hint`: of its secret. */
export type NewKey = {
  id: string;
  org: string;
  policy: Policy;
  payers: string[];
  createdBy: string;
  digest: string;
  hint: string;
};

/** A key as callers of its object see it: no digests. Times are Unix milliseconds. */
export type KeyState = {
  id: string;
  org: string;
  policy: Policy;
  payers: string[];
  createdBy: string;
  createdAt: number;
  revokedAt?: number;
  /** The last characters of its newest secret, and the time until which an older secret works. */
  hint: string;
  graceUntil?: number;
};

/** The key that changes another. `policy`: its own; absent for the bootstrap key, which may change every key. */
export type Actor = { keyId: string; policy?: Policy };

type Row = {
  id: string;
  org: string;
  policy: string;
  payers: string;
  created_by: string;
  created_at: number;
  revoked_at: number | null;
};
type SecretRow = { digest: string; hint: string; created_at: number; expires_at: number | null };

/** Schema of a key's database. Steps are only ever added. A secret's `expires_at` is null while it is the newest. */
export const KEY_MIGRATIONS: readonly string[] = [
  `CREATE TABLE key (
     id TEXT PRIMARY KEY, org TEXT NOT NULL, policy TEXT NOT NULL, payers TEXT NOT NULL, created_by TEXT NOT NULL,
     created_at INTEGER NOT NULL, revoked_at INTEGER
   );
   CREATE TABLE secrets (digest TEXT PRIMARY KEY, hint TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER);
   ${AUDIT_SCHEMA}
   ${LEDGER_MIGRATIONS[0]}`,
];

/** A virtual key: its policy and its secrets. Every change is written in one transaction with its audit event. */
export class Key {
  readonly #storage: Storage;
  readonly #now: () => number;
  #row: Row | undefined;
  #policy: Policy | undefined;

  constructor(storage: Storage, now: () => number) {
    this.#storage = storage;
    this.#now = now;
    this.#load();
  }

  /** Throws `object.not_found` before `create`: the object of an id that was never issued. */
  get policy(): Policy {
    if (this.#policy === undefined) throw keyNotFound();
    return this.#policy;
  }

  /** Stores the key with its first secret. Runs once for each object. */
  create({ id, org, policy, payers, createdBy, digest, hint }: NewKey): KeyState {
    const now = this.#now();
    const { sql, transact } = this.#storage;
    transact(() => {
      sql(
        "INSERT INTO key (id, org, policy, payers, created_by, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        id,
        org,
        JSON.stringify(toStored(policy)),
        JSON.stringify(payers),
        createdBy,
        now,
      );
      this.#addSecret(digest, hint, now);
      this.#load();
      this.#enqueueAudit("key.created", createdBy, { policy });
    });
    return this.state;
  }

  /** undefined: there is no key, or it is another organisation's. */
  describe(org: string): KeyState | undefined {
    return this.#row?.org === org ? this.state : undefined;
  }

  get state(): KeyState {
    if (this.#row === undefined) throw keyNotFound();
    const { id, org, payers, created_by, created_at, revoked_at } = this.#row;
    const [newest, ...older] = this.#secrets();
    const grace = older.flatMap(({ expires_at }) => expires_at ?? []).filter((end) => end > this.#now());
    return {
      id,
      org,
      policy: this.policy,
      payers: JSON.parse(payers) as string[],
      createdBy: created_by,
      createdAt: created_at,
      hint: newest!.hint,
      ...(revoked_at !== null && { revokedAt: revoked_at }),
      ...(grace.length > 0 && { graceUntil: Math.max(...grace) }),
    };
  }

  /**
   * Checks that the key, and the secret with this digest if one is given, are valid. Returns the earlier of their ends in
   * Unix milliseconds; undefined: neither expires. Throws `auth.invalid` or `auth.expired`.
   */
  requireActive(digest?: string): number | undefined {
    const now = this.#now();
    if (this.#row === undefined || this.#row.revoked_at !== null) throw invalidKey();
    const secret = this.#secrets().find((row) => areSecretsEqual(row.digest, digest ?? ""));
    if (digest !== undefined && secret === undefined) throw invalidKey();
    const secretEnd = secret?.expires_at ?? Infinity;
    if (secretEnd <= now) throw expiredKey("this secret was replaced by another");
    const { expires_at: keyEnd = Infinity } = this.policy;
    if (keyEnd <= now) throw expiredKey("the key has expired");
    const end = Math.min(secretEnd, keyEnd);
    return Number.isFinite(end) ? end : undefined;
  }

  /** `changes`: new values of members; null removes one. Throws `request.invalid` and `auth.forbidden`. */
  change(changes: Record<string, unknown>, actor: Actor): KeyState {
    this.#requireAuthority(actor);
    const merged = { ...this.policy, ...changes };
    const policy = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null)) as Policy;
    requireSubset(policy, actor.policy);
    this.#storage.transact(() => {
      this.#storage.sql("UPDATE key SET policy = ?", JSON.stringify(toStored(policy)));
      this.#load();
      this.#enqueueAudit("key.changed", actor.keyId, changes);
    });
    return this.state;
  }

  /** Adds a secret. Older ones stay valid for `graceMs` milliseconds, and no longer than the key. Throws `request.invalid`, `auth.forbidden`. */
  rotate(secret: { digest: string; hint: string }, graceMs: number, actor: Actor): KeyState {
    this.#requireAuthority(actor);
    const now = this.#now();
    const { revoked_at } = this.#row!;
    const { expires_at = Infinity } = this.policy;
    if (revoked_at !== null) throw invalid("id", "the key is revoked");
    if (expires_at <= now) throw invalid("id", "the key has expired");
    if (now + graceMs > expires_at) throw invalid("grace_s", "expected at most the remaining lifetime of the key");
    this.#storage.transact(() => {
      this.#storage.sql("UPDATE secrets SET expires_at = min(coalesce(expires_at, ?1), ?1)", now + graceMs);
      this.#addSecret(secret.digest, secret.hint, now);
      this.#enqueueAudit("key.rotated", actor.keyId, { grace_until: now + graceMs });
    });
    return this.state;
  }

  /** Invalidates the key permanently. A second call changes nothing. Throws `auth.forbidden`. */
  revoke(actor: Actor): KeyState {
    this.#requireAuthority(actor);
    if (this.#row!.revoked_at === null) {
      this.#storage.transact(() => {
        this.#storage.sql("UPDATE key SET revoked_at = ?", this.#now());
        this.#load();
        this.#enqueueAudit("key.revoked", actor.keyId, {});
      });
    }
    return this.state;
  }

  /** Only a key that may do at least as much may change this one; otherwise it could raise its own permissions through it. */
  #requireAuthority({ policy }: Actor): void {
    try {
      requireSubset(this.policy, policy);
    } catch (cause) {
      throw new GatewayError("auth.forbidden", "the key has permissions that yours lacks", { cause });
    }
  }

  /** Newest first. */
  #secrets(): SecretRow[] {
    return this.#storage.sql<SecretRow>("SELECT * FROM secrets ORDER BY created_at DESC, rowid DESC");
  }

  #addSecret(digest: string, hint: string, now: number): void {
    this.#storage.sql("DELETE FROM secrets WHERE expires_at <= ?", now - EXPIRED_SECRET_RETENTION_MS);
    this.#storage.sql("INSERT INTO secrets (digest, hint, created_at) VALUES (?, ?, ?)", digest, hint, now);
  }

  #load(): void {
    [this.#row] = this.#storage.sql<Row>("SELECT * FROM key");
    this.#policy = this.#row === undefined ? undefined : readStoredPolicy(JSON.parse(this.#row.policy) as StoredPolicy);
  }

  /** Enqueues the audit event with the key's entry for lists of keys. Runs in the change's transaction. */
  #enqueueAudit(action: AuditEvent["action"], actor: string, details: object): void {
    const { id, org, policy, createdBy, createdAt, revokedAt, hint } = this.state;
    const { name, expires_at: expiresAt } = policy;
    const listed = { id, org, name, policy: toStored(policy), hint, createdBy, createdAt };
    enqueueAudit(this.#storage.sql, {
      at: this.#now(),
      org,
      actor,
      action,
      target: id,
      details,
      key: { ...listed, ...(expiresAt !== undefined && { expiresAt }), ...(revokedAt !== undefined && { revokedAt }) },
    });
  }
}

/** How long a replaced secret gets `auth.expired` with the reason; after that it is unknown: `auth.invalid`. Milliseconds. */
const EXPIRED_SECRET_RETENTION_MS = 30 * 86_400_000;

/** Throws `auth.forbidden` if the key is limited to addresses and this is none of them. `address`: undefined if the platform reports none. */
export function requireAddress(allowed: readonly string[] | undefined, address: string | undefined): void {
  if (allowed === undefined) return;
  const isAllowed = address !== undefined && isRange(address) && allowed.some((range) => containsRange(range, address));
  if (!isAllowed) throw new GatewayError("auth.forbidden", "the key may not be used from this address");
}

/** One message for all causes: whether a key exists is not disclosed. */
export const invalidKey = (): GatewayError => new GatewayError("auth.invalid", "the key is not valid");
const expiredKey = (message: string): GatewayError => new GatewayError("auth.expired", message);
const keyNotFound = (): GatewayError => new GatewayError("object.not_found", "there is no such key");

type StoredPolicy = Policy & { scope_set?: number };

/** The stored form of a policy says of which scopes its list was made. */
const toStored = (policy: Policy): StoredPolicy => ({ ...policy, scope_set: SCOPE_SET });

/** A key made before a scope existed may do what it could do without. */
export function readStoredPolicy({ scope_set: known = 0, ...policy }: StoredPolicy): Policy {
  return { ...policy, scopes: withLaterScopes(policy.scopes, known) };
}
