import { z } from "zod";
import { type SafetyPolicy, safetyPolicySchema } from "../shield/policy.ts";
import { AUDIT_SCHEMA, enqueueAudit } from "../store/audit-outbox.ts";
import type { Storage } from "../store/sql.ts";
import { type Account, budgetsSchema, limitsSchema, timeZoneSchema } from "./budget/account.ts";
import { LEDGER_MIGRATIONS } from "./budget/ledger.ts";
import { harnessIdSchema } from "./harness-id.ts";
import { HARNESSES_SCHEMA } from "./harnesses.ts";
import { TOOL_SECRETS_SCHEMA } from "./tool-secrets.ts";
import { WEBHOOKS_SCHEMA } from "./webhooks.ts";

/** A tag's name. Characters. */
const tagSchema = z.string().min(1).max(64);

/** Budgets and limits of an organisation and of its tags. Tags are those of `rhone.tags` in requests. At most 100: all are sent with each grant. */
export const organizationPolicySchema = z.strictObject({
  name: z.string().min(1).max(128),
  budgets: budgetsSchema,
  limits: limitsSchema,
  time_zone: timeZoneSchema,
  tag_budgets: z
    .record(tagSchema, budgetsSchema)
    .refine((all) => Object.keys(all).length <= 100, "expected at most 100 tags"),
  /** Days after which sessions without a turn, and records, are deleted; null: as the deployment says. */
  retention_days: z.int().min(1).max(36_500).nullable().optional(),
  /** Nothing is deleted for its age. */
  legal_hold: z.boolean().optional(),
  /** What may not pass in calls of keys that say nothing else; null: nothing is looked for. */
  safety: safetyPolicySchema.nullable().optional(),
  /** The harness of runs that name none, and whose key names none; null: they have none. */
  harness: harnessIdSchema.nullable().optional(),
});
export type OrganizationPolicy = z.infer<typeof organizationPolicySchema>;

/** A request for a new organisation. */
export const newOrganizationSchema = z.strictObject({
  ...organizationPolicySchema.shape,
  budgets: budgetsSchema.default([]),
  limits: limitsSchema.default({}),
  time_zone: timeZoneSchema.default("UTC"),
  tag_budgets: organizationPolicySchema.shape.tag_budgets.default({}),
});

/** A change of an organisation: absent members stay. */
export const organizationChangesSchema = organizationPolicySchema.partial();

/** `createdAt`: Unix milliseconds. */
export type OrganizationState = { id: string; policy: OrganizationPolicy; createdAt: number };

/** An organisation's credential for a provider. `sealed`: encrypted (vault.ts). `hint`: its last characters. `setAt`: Unix milliseconds. */
export type Credential = { provider: string; sealed: string; hint: string; setAt: number };

type Row = { id: string; policy: string; created_at: number };

/** Schema of an organisation's database. Steps are only ever added. */
export const ORGANIZATION_MIGRATIONS: readonly string[] = [
  `CREATE TABLE organization (id TEXT PRIMARY KEY, policy TEXT NOT NULL, created_at INTEGER NOT NULL);
   CREATE TABLE credentials (provider TEXT PRIMARY KEY, sealed TEXT NOT NULL, hint TEXT NOT NULL, set_at INTEGER NOT NULL);
   ${AUDIT_SCHEMA}
   ${LEDGER_MIGRATIONS[0]}`,
  `CREATE TABLE safety_profiles (
     id TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (id, version)
   ) WITHOUT ROWID`,
  TOOL_SECRETS_SCHEMA,
  WEBHOOKS_SCHEMA,
  HARNESSES_SCHEMA,
];

/** An organisation: budgets and limits for all of its keys together, and its credentials. The default one needs no creation. */
export class Organization {
  readonly #storage: Storage;
  readonly #now: () => number;
  #row: Row | undefined;
  #policy: OrganizationPolicy | undefined;

  constructor(storage: Storage, now: () => number) {
    this.#storage = storage;
    this.#now = now;
    this.#load();
  }

  /** undefined: never created or changed. */
  describe(): OrganizationState | undefined {
    if (this.#row === undefined) return undefined;
    return { id: this.#row.id, policy: this.#policy!, createdAt: this.#row.created_at };
  }

  /** Creates the organisation, or changes the given members. `actor`: the id of the key that does so. */
  put(id: string, changes: Partial<OrganizationPolicy>, actor: string): OrganizationState {
    const now = this.#now();
    const isNew = this.#row === undefined;
    const policy = { ...(this.#policy ?? EMPTY_POLICY), ...changes };
    const createdAt = this.#row?.created_at ?? now;
    const { sql, transact } = this.#storage;
    transact(() => {
      sql(
        `INSERT INTO organization (id, policy, created_at) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET policy = ?2`,
        id,
        JSON.stringify(policy),
        createdAt,
      );
      const action = isNew ? "organization.created" : "organization.changed";
      const organization = { id, name: policy.name, createdAt };
      enqueueAudit(sql, { at: now, org: id, actor, action, target: id, details: changes, organization });
      this.#load();
    });
    return this.describe()!;
  }

  /** The account of the organisation, or of one of its tags; undefined if it has no budgets and limits. */
  accountFor(tag?: string): Account | undefined {
    if (this.#policy === undefined) return undefined;
    const { budgets, limits, time_zone, tag_budgets } = this.#policy;
    if (tag !== undefined) {
      const own = tag_budgets[tag];
      return own === undefined ? undefined : { budgets: own, limits: {}, time_zone };
    }
    return budgets.length === 0 && Object.keys(limits).length === 0 ? undefined : { budgets, limits, time_zone };
  }

  /** Names of the tags that have budgets. */
  get tags(): string[] {
    return Object.keys(this.#policy?.tag_budgets ?? {});
  }

  /** The organisation's own credentials for providers, encrypted. */
  listCredentials(): Credential[] {
    return this.#storage
      .sql<{ provider: string; sealed: string; hint: string; set_at: number }>(
        "SELECT * FROM credentials ORDER BY provider",
      )
      .map(({ set_at: setAt, ...rest }) => ({ ...rest, setAt }));
  }

  /** Sets or replaces the credential for a provider. */
  setCredential(org: string, { provider, sealed, hint }: Omit<Credential, "setAt">, actor: string): void {
    const now = this.#now();
    const { sql, transact } = this.#storage;
    transact(() => {
      sql(
        "INSERT OR REPLACE INTO credentials (provider, sealed, hint, set_at) VALUES (?, ?, ?, ?)",
        provider,
        sealed,
        hint,
        now,
      );
      enqueueAudit(sql, { at: now, org, actor, action: "credential.set", target: provider, details: { hint } });
    });
  }

  /** Stores a credential that was encrypted again with a newer key. Not a change of the credential, so not audited. */
  reseal(provider: string, sealed: string): void {
    this.#storage.sql("UPDATE credentials SET sealed = ? WHERE provider = ?", sealed, provider);
  }

  /** Returns false if there was none. */
  removeCredential(org: string, provider: string, actor: string): boolean {
    const { sql, transact } = this.#storage;
    return transact(() => {
      if (sql("DELETE FROM credentials WHERE provider = ? RETURNING provider", provider).length === 0) return false;
      enqueueAudit(sql, { at: this.#now(), org, actor, action: "credential.removed", target: provider, details: {} });
      return true;
    });
  }

  /** What applies to the organisation's calls, and the newest version of each of its profiles. */
  get safety(): OrganizationSafety {
    const rows = this.#storage.sql<{ id: string; version: number }>(
      "SELECT id, max(version) AS version FROM safety_profiles GROUP BY id ORDER BY id",
    );
    return {
      versions: Object.fromEntries(rows.map(({ id, version }) => [id, version])),
      policy: this.#policy?.safety ?? null,
    };
  }

  /** A version of a profile, the newest if none is named; undefined if there is none. */
  findSafetyProfile(id: string, version?: number): StoredProfile | undefined {
    const [row] = this.#storage.sql<{ version: number; body: string; created_at: number }>(
      `SELECT version, body, created_at FROM safety_profiles WHERE id = ? ${version === undefined ? "" : "AND version = ?"}
       ORDER BY version DESC LIMIT 1`,
      ...(version === undefined ? [id] : [id, version]),
    );
    return row && { id, version: row.version, body: row.body, createdAt: row.created_at };
  }

  /** Adds a version of a profile; those before it stay. Returns undefined if the organisation has too many profiles. */
  addSafetyProfile(org: string, id: string, body: string, actor: string): StoredProfile | undefined {
    const now = this.#now();
    const { sql, transact } = this.#storage;
    return transact(() => {
      const { versions } = this.safety;
      if (versions[id] === undefined && Object.keys(versions).length >= MAX_PROFILES) return undefined;
      const version = (versions[id] ?? 0) + 1;
      sql("INSERT INTO safety_profiles (id, version, body, created_at) VALUES (?, ?, ?, ?)", id, version, body, now);
      enqueueAudit(sql, { at: now, org, actor, action: "safety_profile.changed", target: id, details: { version } });
      return { id, version, body, createdAt: now };
    });
  }

  #load(): void {
    [this.#row] = this.#storage.sql<Row>("SELECT * FROM organization");
    this.#policy = this.#row === undefined ? undefined : (JSON.parse(this.#row.policy) as OrganizationPolicy);
  }
}

/** Profiles of an organisation, each in all its versions. */
const MAX_PROFILES = 100;

/** `versions`: the newest of each profile. */
export type OrganizationSafety = { policy: SafetyPolicy | null; versions: Record<string, number> };

/** A version of a profile, which never changes. `body`: as JSON. */
export type StoredProfile = { id: string; version: number; body: string; createdAt: number };

/** Policy of the default organisation until it is changed. */
const EMPTY_POLICY: OrganizationPolicy = {
  name: "Default",
  budgets: [],
  limits: {},
  time_zone: "UTC",
  tag_budgets: {},
};
