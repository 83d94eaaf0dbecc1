import { AccountGrants, type Clock, type Estimate, type Hold, type PoolServices } from "./account-grants.ts";
import { namePayerAccount, nameTagAccount } from "./account-name.ts";
import type { Amount, Rates } from "./grant.ts";

export type { AccountClient, AccountReply, Estimate, Hold } from "./account-grants.ts";

/** Accounts in an isolate's memory from which on idle ones are evicted. */
const MAX_ACCOUNTS = 5_000;

export type Reservation = { parts: Hold[]; rates: Rates };

/** The accounts that a call may be charged to: a key, the keys above it, their organisation, and the request's tags. */
type ChargedAccounts = {
  key: string;
  parents: readonly string[];
  organization: string;
  tags: readonly string[];
};

/**
 * An isolate's grants of all accounts. Calls are reserved against grants in memory; an account's object is called only for
 * new grants. Shared by all requests and objects of an isolate, which must not use each other's platform objects:
 * therefore everything that belongs to one request is a parameter.
 */
export class GrantPool {
  readonly #accounts = new Map<string, AccountGrants>();
  readonly #clock: Clock;

  constructor(now: () => number, sleep: (ms: number) => Promise<void>) {
    this.#clock = { now, sleep };
  }

  /**
   * Reserves a call's estimate in all accounts or in none. Throws `budget.exceeded`, `rate.limited`, `model.not_allowed`
   * without a price, or `auth.*` if a key is no longer valid.
   */
  async reserve(
    call: string,
    { key, parents, organization, tags }: ChargedAccounts,
    estimate: Estimate,
    services: PoolServices,
  ): Promise<Reservation> {
    const parts: Hold[] = [];
    try {
      await this.#reserveAll([key, ...parents.map(namePayerAccount), organization], estimate, services, parts);
      const counted = this.#grantsOf(organization).tags;
      const tagged = [...new Set(tags)].filter((tag) => counted.includes(tag));
      if (tagged.length > 0)
        await this.#reserveAll(
          tagged.map((tag) => nameTagAccount(organization, tag)),
          estimate,
          services,
          parts,
        );
    } catch (thrown) {
      // Under another id: the same call may be reserved again, and each id is settled once.
      this.settle(`${call}/refused`, parts, { micros: 0, tokens: 0 }, services);
      throw thrown;
    }
    return { parts, rates: this.#grantsOf(key).rates };
  }

  /** Reports a call's actual cost; the rest of its reservation becomes free. `parts`: those of its reservation. */
  settle(call: string, parts: readonly Hold[], took: Amount, services: PoolServices): void {
    for (const { account, grant, micros, tokens } of parts)
      this.#grantsOf(account).settle({ grant, call, held: { micros, tokens }, took }, services);
  }

  /** Reserves from grants in memory, and requests the missing ones concurrently. On an error `parts` has what was reserved. */
  async #reserveAll(
    accounts: readonly string[],
    estimate: Estimate,
    services: PoolServices,
    parts: Hold[],
  ): Promise<void> {
    const requests: Promise<void>[] = [];
    const reserveNew = async (grants: AccountGrants): Promise<void> => {
      const hold = await grants.reserveNew(estimate, services);
      if (hold !== undefined) parts.push(hold);
    };
    for (const account of accounts) {
      const grants = this.#grantsOf(account);
      if (grants.isFree) continue;
      const hold = grants.reserve(estimate, services);
      if (hold === undefined) requests.push(reserveNew(grants));
      else parts.push(hold);
    }
    if (requests.length === 0) return;
    const failed = (await Promise.allSettled(requests)).find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  #grantsOf(account: string): AccountGrants {
    const existing = this.#accounts.get(account);
    if (existing !== undefined) return existing;
    if (this.#accounts.size >= MAX_ACCOUNTS) this.#evictIdle();
    const grants = new AccountGrants(account, this.#clock);
    this.#accounts.set(account, grants);
    return grants;
  }

  /** Forgets accounts without a valid grant or pending reports. */
  #evictIdle(): void {
    for (const [account, grants] of this.#accounts) if (grants.isIdle) this.#accounts.delete(account);
  }
}
