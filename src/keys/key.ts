import { GatewayError, invalid } from "../canonical/error.ts";
import type { AuditEvent } from "../store/audit.ts";
import type { Storage } from "../store/sql.ts";
import { areSecretsEqual } from "../wire/hash.ts";
import { containsRange, isRange } from "./ip-ranges.ts";
import { enqueueAudit, AUDIT_SCHEMA } from "../store/audit-outbox.ts";
import { LEDGER_MIGRATIONS } from "./budget/ledger.ts";
import { requireSubset, type Policy } from "./policy.ts";

/** A key as it is made. `payers`: the keys above it, which are charged for it as well. `digest`: of its secret. */
export type NewKey = {
  id: string;
  org: string;
  policy: Policy;
  payers: string[];
  createdBy: string;
  digest: string;
  hint: string;
};

export type KeyState = {
  id: string;
  org: string;
  policy: Policy;
  payers: string[];
  createdBy: string;
  createdAt: number;
  revokedAt?: number;
  /** The end of its newest secret, and until when an older one still works. */
  hint: string;
  graceUntil?: number;
};

/** Who changes a key, and what that one may do: everything, where it is not said. */
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

export const KEY_MIGRATIONS: readonly string[] = [
  `CREATE TABLE key (
     id TEXT PRIMARY KEY, org TEXT NOT NULL, policy TEXT NOT NULL, payers TEXT NOT NULL, created_by TEXT NOT NULL,
     created_at INTEGER NOT NULL, revoked_at INTEGER
   );
   CREATE TABLE secrets (digest TEXT PRIMARY KEY, hint TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER);
   ${AUDIT_SCHEMA}
   ${LEDGER_MIGRATIONS[0]}`,
];

/** A virtual key: what it may do, and which secrets open it. Every change is noted together with its audit event. */
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

  /** Throws when there is none: an object whose key was never made. */
  get policy(): Policy {
    if (this.#policy === undefined) throw keyNotFound();
    return this.#policy;
  }

  create({ id, org, policy, payers, createdBy, digest, hint }: NewKey): KeyState {
    const now = this.#now();
    const { sql, transact } = this.#storage;
    transact(() => {
      sql(
        "INSERT INTO key (id, org, policy, payers, created_by, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        id,
        org,
        JSON.stringify(policy),
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

  /** undefined: another organisation's, or there is none. */
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
   * Until when the key stands, and with it this secret of it, where one is given; undefined: without an end. Throws
   * `auth.invalid` or `auth.expired`.
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

  /** `changes`: the members that are to be others. null takes away. Throws `request.invalid` and `auth.forbidden`. */
  change(changes: Record<string, unknown>, actor: Actor): KeyState {
    this.#requireAuthority(actor);
    const merged = { ...this.policy, ...changes };
    const policy = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null)) as Policy;
    requireSubset(policy, actor.policy);
    this.#storage.transact(() => {
      this.#storage.sql("UPDATE key SET policy = ?", JSON.stringify(policy));
      this.#load();
      this.#enqueueAudit("key.changed", actor.keyId, changes);
    });
    return this.state;
  }

  /** Another secret. Those before it work on until the grace has passed, and no longer than the key. */
  rotate(secret: { digest: string; hint: string }, graceMs: number, actor: Actor): KeyState {
    this.#requireAuthority(actor);
    const now = this.#now();
    const { revoked_at } = this.#row!;
    const { expires_at = Infinity } = this.policy;
    if (revoked_at !== null) throw invalid("id", "expected a key that is not revoked");
    if (expires_at <= now) throw invalid("id", "expected a key that has not expired");
    if (now + graceMs > expires_at) throw invalid("grace_s", "expected no more than the key has left");
    this.#storage.transact(() => {
      this.#storage.sql("UPDATE secrets SET expires_at = min(coalesce(expires_at, ?1), ?1)", now + graceMs);
      this.#addSecret(secret.digest, secret.hint, now);
      this.#enqueueAudit("key.rotated", actor.keyId, { grace_until: now + graceMs });
    });
    return this.state;
  }

  /** For good. Revoking twice is revoking once. */
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

  /** Whoever could change a key that may do more could do more. */
  #requireAuthority({ policy }: Actor): void {
    try {
      requireSubset(this.policy, policy);
    } catch (cause) {
      throw new GatewayError("auth.forbidden", "the key may do more than the one that is to change it", { cause });
    }
  }

  #secrets(): SecretRow[] {
    return this.#storage.sql<SecretRow>("SELECT * FROM secrets ORDER BY created_at DESC, rowid DESC");
  }

  #addSecret(digest: string, hint: string, now: number): void {
    this.#storage.sql("DELETE FROM secrets WHERE expires_at <= ?", now - EXPIRED_SECRET_RETENTION_MS);
    this.#storage.sql("INSERT INTO secrets (digest, hint, created_at) VALUES (?, ?, ?)", digest, hint, now);
  }

  #load(): void {
    [this.#row] = this.#storage.sql<Row>("SELECT * FROM key");
    this.#policy = this.#row === undefined ? undefined : (JSON.parse(this.#row.policy) as Policy);
  }

  #enqueueAudit(action: AuditEvent["action"], actor: string, details: object): void {
    const { id, org, policy, createdBy, createdAt, revokedAt, hint } = this.state;
    const { name, expires_at: expiresAt } = policy;
    const listed = { id, org, name, policy, hint, createdBy, createdAt };
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

/** Callers are told that a secret was replaced for this long; then it is as if it had never been. Milliseconds. */
const EXPIRED_SECRET_RETENTION_MS = 30 * 86_400_000;

/** Throws `auth.forbidden` when the key is bound to addresses and this is none of them. `address`: undefined when nobody says. */
export function requireAddress(allowed: readonly string[] | undefined, address: string | undefined): void {
  if (allowed === undefined) return;
  const isAllowed = address !== undefined && isRange(address) && allowed.some((range) => containsRange(range, address));
  if (!isAllowed) throw new GatewayError("auth.forbidden", "the key may not be used from this address");
}

export const invalidKey = (): GatewayError => new GatewayError("auth.invalid", "the key is not valid");
const expiredKey = (message: string): GatewayError => new GatewayError("auth.expired", message);
const keyNotFound = (): GatewayError => new GatewayError("object.not_found", "there is no such key");
