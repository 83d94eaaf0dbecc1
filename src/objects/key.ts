import { DurableObject } from "cloudflare:workers";
import { type RpcResult, toRpcResult } from "../canonical/rpc-error.ts";
import type { AccountReply } from "../keys/budget/grant-pool.ts";
import type { GrantRequest } from "../keys/budget/grant.ts";
import { Ledger } from "../keys/budget/ledger.ts";
import { type AccountUsage, toApiUsage } from "../keys/budget/usage.ts";
import { type UsageReport, WaitQueue } from "../keys/budget/wait-queue.ts";
import type { AuthenticatedKey } from "../keys/key-cache.ts";
import { type Actor, Key, KEY_MIGRATIONS, type KeyState, type NewKey } from "../keys/key.ts";
import { migrate } from "../store/sql.ts";
import { newId } from "../wire/id.ts";
import { AuditPublisher } from "./audit-publisher.ts";
import { objectStorage } from "./storage.ts";

/** The Durable Object of one key: its secrets, expiry, budgets and rate limits. It composes and decides nothing. */
export class KeyObject extends DurableObject {
  readonly #key: Key;
  readonly #ledger: Ledger;
  readonly #queue: WaitQueue;
  readonly #publisher: AuditPublisher;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    const storage = objectStorage(ctx);
    migrate(storage, KEY_MIGRATIONS);
    this.#key = new Key(storage, Date.now);
    this.#ledger = new Ledger("", {
      sql: storage.sql,
      now: Date.now,
      newId: () => newId("grant", Date.now()),
      account: () => this.#key.policy,
    });
    this.#queue = new WaitQueue(this.#ledger);
    this.#publisher = new AuditPublisher(storage.sql, env.DB, ctx.storage);
  }

  /** Creates the key. Durable when it resolves, as every change below. */
  async create(made: NewKey): Promise<KeyState> {
    return await this.#publish(this.#key.create(made));
  }

  /** Authenticates by a secret's digest, or without one for what was derived from the key, such as a client token. */
  admit(digest?: string): RpcResult<AuthenticatedKey> {
    return toRpcResult(() => {
      const expiresAt = this.#key.requireActive(digest);
      const { id, org, policy, payers } = this.#key.state;
      return { keyId: id, org, policy, payers, ...(expiresAt !== undefined && { expiresAt }) };
    });
  }

  /** Here and below, `undefined` means that the key does not exist or belongs to another organisation. */
  describe(org: string): KeyState | undefined {
    return this.#key.describe(org);
  }

  /** What has been spent of the budgets and limits. */
  usage(org: string): AccountUsage | undefined {
    return this.#key.describe(org) === undefined ? undefined : toApiUsage(this.#ledger, this.#key.policy);
  }

  async change(org: string, changes: Record<string, unknown>, actor: Actor): Promise<RpcResult<KeyState> | undefined> {
    return await this.#apply(org, () => this.#key.change(changes, actor));
  }

  /** Replaces the secret. `graceMs`: how long the old one stays valid. `secret.hint`: its last characters, for lists. */
  async rotate(
    org: string,
    secret: { digest: string; hint: string },
    graceMs: number,
    actor: Actor,
  ): Promise<RpcResult<KeyState> | undefined> {
    return await this.#apply(org, () => this.#key.rotate(secret, graceMs, actor));
  }

  async revoke(org: string, actor: Actor): Promise<RpcResult<KeyState> | undefined> {
    return await this.#apply(org, () => this.#key.revoke(actor));
  }

  /**
   * Grants part of the budgets. `isOwn`: the call was made with this key and not with a key that it created; such keys
   * outlive it and are still charged to it.
   */
  async take(isOwn: boolean, need: GrantRequest, report: UsageReport): Promise<AccountReply> {
    this.#queue.report(report);
    if (isOwn) {
      const result = toRpcResult(() => this.#key.requireActive());
      if ("error" in result) return { refused: result.error };
    }
    return await this.#queue.take(need);
  }

  /** Settles calls and returns unused grants, without a new grant. */
  report(report: UsageReport): void {
    this.#queue.report(report);
  }

  /** Retries audit events that could not be written to D1. */
  override async alarm(): Promise<void> {
    await this.#publisher.publish();
  }

  /** Applies a change to a key of this organisation. Errors are returned as values: exceptions lose their members over RPC. */
  async #apply(org: string, work: () => KeyState): Promise<RpcResult<KeyState> | undefined> {
    if (this.#key.describe(org) === undefined) return undefined;
    const result = toRpcResult(work);
    return "value" in result ? { value: await this.#publish(result.value) } : result;
  }

  /** Resolves when the change is durable and its audit event is written. */
  async #publish(state: KeyState): Promise<KeyState> {
    await this.ctx.storage.sync();
    await this.#publisher.publish();
    return state;
  }
}
