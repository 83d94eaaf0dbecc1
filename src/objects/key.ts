import { DurableObject } from "cloudflare:workers";
import type { AuthenticatedKey } from "../keys/key-cache.ts";
import { type Actor, Key, KEY_STEPS, type KeyState, type NewKey } from "../keys/key.ts";
import { Ledger, type GrantRequest } from "../keys/budget/ledger.ts";
import type { AccountReply } from "../keys/budget/grant-pool.ts";
import { type UsageReport, WaitQueue } from "../keys/budget/wait-queue.ts";
import { type AccountUsage, usageOf } from "../keys/budget/usage.ts";
import { migrate } from "../store/sql.ts";
import { newId } from "../wire/id.ts";
import { AuditPublisher } from "./audit-publisher.ts";
import { toRpcResult, type RpcResult } from "../canonical/rpc-error.ts";
import { objectStorage } from "./storage.ts";

/** A key's home: the truth about its secrets, its end, its money and its rates. Composes; decides nothing. */
export class KeyObject extends DurableObject {
  readonly #key: Key;
  readonly #ledger: Ledger;
  readonly #queue: WaitQueue;
  readonly #publisher: AuditPublisher;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    const storage = objectStorage(ctx);
    migrate(storage, KEY_STEPS);
    this.#key = new Key(storage, Date.now);
    this.#ledger = new Ledger("", {
      sql: storage.sql,
      now: Date.now,
      mint: () => newId("grant", Date.now()),
      account: () => this.#key.policy,
    });
    this.#queue = new WaitQueue(this.#ledger);
    this.#publisher = new AuditPublisher(storage.sql, env.DB, ctx.storage);
  }

  async create(made: NewKey): Promise<KeyState> {
    return await this.#publish(this.#key.create(made));
  }

  /** By a secret's digest, or by the key's id alone for what was derived from it. */
  admit(digest?: string): RpcResult<AuthenticatedKey> {
    return toRpcResult(() => {
      const expiresAt = this.#key.requireActive(digest);
      const { id, org, policy, payers } = this.#key.state;
      return { keyId: id, org, policy, payers, ...(expiresAt !== undefined && { expiresAt }) };
    });
  }

  /** undefined, here and below: another organisation's, or none. */
  describe(org: string): KeyState | undefined {
    return this.#key.describe(org);
  }

  usage(org: string): AccountUsage | undefined {
    return this.#key.describe(org) === undefined ? undefined : usageOf(this.#ledger, this.#key.policy);
  }

  async change(org: string, changes: Record<string, unknown>, actor: Actor): Promise<RpcResult<KeyState> | undefined> {
    return await this.#apply(org, () => this.#key.change(changes, actor));
  }

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

  /** `isOwn`: the call is the key's own, and not one of a key that it made; those outlive it, and are charged to it all the same. */
  async take(isOwn: boolean, need: GrantRequest, report: UsageReport): Promise<AccountReply> {
    this.#queue.report(report);
    if (isOwn) {
      const result = toRpcResult(() => this.#key.requireActive());
      if ("error" in result) return { refused: result.error };
    }
    return await this.#queue.take(need);
  }

  report(report: UsageReport): void {
    this.#queue.report(report);
  }

  override async alarm(): Promise<void> {
    await this.#publisher.publish();
  }

  async #apply(org: string, work: () => KeyState): Promise<RpcResult<KeyState> | undefined> {
    if (this.#key.describe(org) === undefined) return undefined;
    const result = toRpcResult(work);
    return "value" in result ? { value: await this.#publish(result.value) } : result;
  }

  async #publish(state: KeyState): Promise<KeyState> {
    await this.ctx.storage.sync();
    await this.#publisher.publish();
    return state;
  }
}
