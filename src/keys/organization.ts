import { z } from "zod";
import type { Storage } from "../store/sql.ts";
import { enqueueAudit, AUDIT_SCHEMA } from "../store/audit-outbox.ts";
import { LEDGER_MIGRATIONS } from "./budget/ledger.ts";
import { type Account, budgetsSchema, limitsSchema, timeZoneSchema } from "./budget/account.ts";

const tagSchema = z.string().min(1).max(64);

/** What an organisation and its tags may spend. Tags are those of `rhone.tags`. */
export const organizationPolicySchema = z.strictObject({
  name: z.string().min(1).max(128),
  budgets: budgetsSchema,
  limits: limitsSchema,
  time_zone: timeZoneSchema,
  tag_budgets: z
    .record(tagSchema, budgetsSchema)
    .refine((all) => Object.keys(all).length <= 100, "expected at most 100 tags"),
});
export type OrganizationPolicy = z.infer<typeof organizationPolicySchema>;

export const newOrganizationSchema = z.strictObject({
  ...organizationPolicySchema.shape,
  budgets: budgetsSchema.default([]),
  limits: limitsSchema.default({}),
  time_zone: timeZoneSchema.default("UTC"),
  tag_budgets: organizationPolicySchema.shape.tag_budgets.default({}),
});

export const organizationChangesSchema = organizationPolicySchema.partial();

export type OrganizationState = { id: string; policy: OrganizationPolicy; createdAt: number };

/** `hint`: its last characters. `setAt`: Unix milliseconds. */
export type Credential = { provider: string; sealed: string; hint: string; setAt: number };

type Row = { id: string; policy: string; created_at: number };

export const ORGANIZATION_MIGRATIONS: readonly string[] = [
  `CREATE TABLE organization (id TEXT PRIMARY KEY, policy TEXT NOT NULL, created_at INTEGER NOT NULL);
   CREATE TABLE credentials (provider TEXT PRIMARY KEY, sealed TEXT NOT NULL, hint TEXT NOT NULL, set_at INTEGER NOT NULL);
   ${AUDIT_SCHEMA}
   ${LEDGER_MIGRATIONS[0]}`,
];

/** An organisation: a name, and what is counted for all of its keys together. The default one is there from the start. */
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

  describe(): OrganizationState | undefined {
    if (this.#row === undefined) return undefined;
    return { id: this.#row.id, policy: this.#policy!, createdAt: this.#row.created_at };
  }

  /** Makes it, or changes what of it is said. */
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

  /** The account of the organisation, or of one of its tags; undefined where nothing is to be counted. */
  accountFor(tag?: string): Account | undefined {
    if (this.#policy === undefined) return undefined;
    const { budgets, limits, time_zone, tag_budgets } = this.#policy;
    if (tag !== undefined) {
      const own = tag_budgets[tag];
      return own === undefined ? undefined : { budgets: own, limits: {}, time_zone };
    }
    return budgets.length === 0 && Object.keys(limits).length === 0 ? undefined : { budgets, limits, time_zone };
  }

  get tags(): string[] {
    return Object.keys(this.#policy?.tag_budgets ?? {});
  }

  /** The credentials of providers that the organisation brings itself, sealed. */
  listCredentials(): Credential[] {
    return this.#storage
      .sql<{ provider: string; sealed: string; hint: string; set_at: number }>(
        "SELECT * FROM credentials ORDER BY provider",
      )
      .map(({ set_at: setAt, ...rest }) => ({ ...rest, setAt }));
  }

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

  /** The same credential under another key of the vault: no change that anybody made. */
  reseal(provider: string, sealed: string): void {
    this.#storage.sql("UPDATE credentials SET sealed = ? WHERE provider = ?", sealed, provider);
  }

  /** False: there was none. */
  removeCredential(org: string, provider: string, actor: string): boolean {
    const { sql, transact } = this.#storage;
    return transact(() => {
      if (sql("DELETE FROM credentials WHERE provider = ? RETURNING provider", provider).length === 0) return false;
      enqueueAudit(sql, { at: this.#now(), org, actor, action: "credential.removed", target: provider, details: {} });
      return true;
    });
  }

  #load(): void {
    [this.#row] = this.#storage.sql<Row>("SELECT * FROM organization");
    this.#policy = this.#row === undefined ? undefined : (JSON.parse(this.#row.policy) as OrganizationPolicy);
  }
}

const EMPTY_POLICY: OrganizationPolicy = {
  name: "Default",
  budgets: [],
  limits: {},
  time_zone: "UTC",
  tag_budgets: {},
};
