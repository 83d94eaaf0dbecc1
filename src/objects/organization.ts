import { DurableObject } from "cloudflare:workers";
import type { AccountReply } from "../keys/budget/grant-pool.ts";
import type { GrantRequest } from "../keys/budget/grant.ts";
import { GRANT_MS, Ledger } from "../keys/budget/ledger.ts";
import { type AccountUsage, toApiUsage } from "../keys/budget/usage.ts";
import { type UsageReport, WaitQueue } from "../keys/budget/wait-queue.ts";
import {
  addHarness,
  findStoredHarness,
  type HarnessPage,
  listHarnesses,
  listHarnessVersions,
  removeHarness,
  type StoredHarness,
} from "../keys/harnesses.ts";
import {
  type Credential,
  Organization,
  ORGANIZATION_MIGRATIONS,
  type OrganizationPolicy,
  type OrganizationSafety,
  type OrganizationState,
  type StoredProfile,
} from "../keys/organization.ts";
import { listToolSecrets, removeToolSecret, setToolSecret, type ToolSecret } from "../keys/tool-secrets.ts";
import {
  addWebhook,
  changeWebhook,
  listWebhooks,
  removeWebhook,
  type Webhook,
  type WebhookChanges,
} from "../keys/webhooks.ts";
import { migrate, type Storage } from "../store/sql.ts";
import { newId } from "../wire/id.ts";
import { AuditPublisher } from "./audit-publisher.ts";
import { objectStorage } from "./storage.ts";

/**
 * The Durable Object of one organisation: its policy, credentials, and the budgets of itself and its tags. It composes
 * and decides nothing.
 */
export class OrganizationObject extends DurableObject {
  readonly #organization: Organization;
  readonly #storage: Storage;
  readonly #accounts = new Map<string, { ledger: Ledger; queue: WaitQueue }>();
  readonly #publisher: AuditPublisher;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#storage = objectStorage(ctx);
    migrate(this.#storage, ORGANIZATION_MIGRATIONS);
    this.#organization = new Organization(this.#storage, Date.now);
    this.#publisher = new AuditPublisher(this.#storage.sql, env.DB, ctx.storage);
  }

  /** The organisation's state; `undefined` if it was never configured. */
  describe(): OrganizationState | undefined {
    return this.#organization.describe();
  }

  /** Creates or changes the organisation. `actor`: id of the key, for the audit event. Durable when it resolves. */
  async put(id: string, changes: Partial<OrganizationPolicy>, actor: string): Promise<OrganizationState> {
    const state = this.#organization.put(id, changes, actor);
    await this.ctx.storage.sync();
    await this.#publisher.publish();
    return state;
  }

  /** Usage of the organisation, or of one of its tags; `undefined` if that has no budget. */
  usage(tag?: string): AccountUsage | undefined {
    const account = this.#organization.accountFor(tag);
    return account === undefined ? undefined : toApiUsage(this.#account(tag).ledger, account);
  }

  /** Settles the report and grants part of the budgets. Without budgets the caller need not come back for `GRANT_MS`. */
  async take(tag: string | undefined, need: GrantRequest, report: UsageReport): Promise<AccountReply> {
    const { tags } = this.#organization;
    this.report(tag, report);
    if (this.#organization.accountFor(tag) === undefined) return { free: Date.now() + GRANT_MS, tags };
    return { ...(await this.#account(tag).queue.take(need)), tags };
  }

  /** Settles calls and returns unused grants, without a new grant. */
  report(tag: string | undefined, report: UsageReport): void {
    if (report.settled.length > 0 || report.unused.length > 0) this.#account(tag).queue.report(report);
  }

  /** The stored provider credentials, encrypted. */
  credentials(): Credential[] {
    return this.#organization.listCredentials();
  }

  /** Stores an encrypted credential for a provider. Durable when it resolves. */
  async setCredential(org: string, credential: Omit<Credential, "setAt">, actor: string): Promise<void> {
    this.#organization.setCredential(org, credential, actor);
    await this.ctx.storage.sync();
    await this.#publisher.publish();
  }

  /** Replaces a credential with the same one, encrypted with the current vault key. */
  reseal(provider: string, sealed: string): void {
    this.#organization.reseal(provider, sealed);
  }

  /** Resolves to whether there was a credential. Durable when it resolves. */
  async removeCredential(org: string, provider: string, actor: string): Promise<boolean> {
    const wasRemoved = this.#organization.removeCredential(org, provider, actor);
    await this.ctx.storage.sync();
    await this.#publisher.publish();
    return wasRemoved;
  }

  /** The secrets of the organisation's tools, encrypted. */
  secrets(): ToolSecret[] {
    return listToolSecrets(this.#storage);
  }

  /** Stores an encrypted secret. Resolves to false if there are too many. Durable when it resolves. */
  async setSecret(org: string, secret: Omit<ToolSecret, "setAt">, actor: string): Promise<boolean> {
    const isSet = setToolSecret(this.#storage, secret, { org, actor, at: Date.now() });
    await this.ctx.storage.sync();
    await this.#publisher.publish();
    return isSet;
  }

  /** Resolves to whether there was a secret. Durable when it resolves. */
  async removeSecret(org: string, name: string, actor: string): Promise<boolean> {
    const wasRemoved = removeToolSecret(this.#storage, name, { org, actor, at: Date.now() });
    await this.ctx.storage.sync();
    await this.#publisher.publish();
    return wasRemoved;
  }

  /** Where messages about the organisation's runs are sent; secrets are encrypted. */
  webhooks(): Webhook[] {
    return listWebhooks(this.#storage);
  }

  /** Resolves to false if there are too many. Durable when it resolves. */
  async addWebhook(org: string, webhook: Webhook, actor: string): Promise<boolean> {
    const isAdded = addWebhook(this.#storage, webhook, { org, actor, at: Date.now() });
    await this.ctx.storage.sync();
    await this.#publisher.publish();
    return isAdded;
  }

  /** Resolves to the webhook as it is then; undefined if there is none. Durable when it resolves. */
  async changeWebhook(org: string, id: string, changes: WebhookChanges, actor: string): Promise<Webhook | undefined> {
    const changed = changeWebhook(this.#storage, id, changes, { org, actor, at: Date.now() });
    await this.ctx.storage.sync();
    await this.#publisher.publish();
    return changed;
  }

  /** Resolves to whether there was a webhook. Durable when it resolves. */
  async removeWebhook(org: string, id: string, actor: string): Promise<boolean> {
    const wasRemoved = removeWebhook(this.#storage, id, { org, actor, at: Date.now() });
    await this.ctx.storage.sync();
    await this.#publisher.publish();
    return wasRemoved;
  }

  /** A page of the newest version of each harness, by name. */
  harnesses(page: { after?: string; limit: number }): HarnessPage {
    return listHarnesses(this.#storage, page);
  }

  /** A page of the versions of one, the newest first. */
  harnessVersions(page: { name: string; before?: number; limit: number }): HarnessPage {
    return listHarnessVersions(this.#storage, page);
  }

  /** A version of a harness, the newest if none is named. */
  harness(name: string, version?: number): StoredHarness | undefined {
    return findStoredHarness(this.#storage, name, version);
  }

  /** Adds a version of a harness. Durable when it resolves; undefined: the organisation has too many. */
  async addHarness(org: string, name: string, body: string, actor: string): Promise<StoredHarness | undefined> {
    const added = addHarness(this.#storage, { name, body }, { org, actor, at: Date.now() });
    await this.ctx.storage.sync();
    await this.#publisher.publish();
    return added;
  }

  /** Resolves to whether there was one. Durable when it resolves. */
  async removeHarness(org: string, name: string, actor: string): Promise<boolean> {
    const wasRemoved = removeHarness(this.#storage, name, { org, actor, at: Date.now() });
    await this.ctx.storage.sync();
    await this.#publisher.publish();
    return wasRemoved;
  }

  /** What applies to the organisation's calls, and its profiles. */
  safety(): OrganizationSafety {
    return this.#organization.safety;
  }

  safetyProfile(id: string, version?: number): StoredProfile | undefined {
    return this.#organization.findSafetyProfile(id, version);
  }

  /** Adds a version of a profile. Durable when it resolves; undefined: the organisation has too many. */
  async addSafetyProfile(org: string, id: string, body: string, actor: string): Promise<StoredProfile | undefined> {
    const added = this.#organization.addSafetyProfile(org, id, body, actor);
    await this.ctx.storage.sync();
    await this.#publisher.publish();
    return added;
  }

  /** Retries audit events that could not be written to D1. */
  override async alarm(): Promise<void> {
    await this.#publisher.publish();
  }

  /** The ledger of the organisation (no tag) or of a tag, created at its first use. */
  #account(tag: string | undefined): { ledger: Ledger; queue: WaitQueue } {
    const name = tag === undefined ? "" : `#${tag}`;
    const known = this.#accounts.get(name);
    if (known !== undefined) return known;
    const ledger = new Ledger(name, {
      sql: this.#storage.sql,
      now: Date.now,
      newId: () => newId("grant", Date.now()),
      // A budget that was removed meanwhile limits nothing.
      account: () => this.#organization.accountFor(tag) ?? { budgets: [], limits: {}, time_zone: "UTC" },
    });
    const account = { ledger, queue: new WaitQueue(ledger) };
    this.#accounts.set(name, account);
    return account;
  }
}
