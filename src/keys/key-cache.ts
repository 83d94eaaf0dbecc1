import { GatewayError, toGatewayError } from "../canonical/error.ts";
import { type RpcResult, unwrap } from "../canonical/rpc-error.ts";
import type { Policy } from "./policy.ts";

/** A valid key, as its object returns it. `expiresAt`: the earlier end of the secret and the key, in Unix milliseconds; absent: never. */
export type AuthenticatedKey = { keyId: string; org: string; policy: Policy; payers: string[]; expiresAt?: number };

/** How long a fetched result is used. A revoked key is refused everywhere within five seconds, one of which is left for the fetch itself. Milliseconds. */
const MAX_AGE_MS = 4_000;
/** Age from which a result is refreshed while a call uses it, so that no call of a busy key waits for a fetch. Milliseconds. */
const REFRESH_MS = 2_000;
/** Entries of the cache; when it is full, all are dropped, which costs one fetch for each key in use. */
const MAX_ENTRIES = 10_000;

/** `result` may be an error, so that an invalid key does not cost a fetch each time. Times are Unix milliseconds. */
type CacheEntry = { result: RpcResult<AuthenticatedKey>; fetchedAt: number; refreshedAt: number };
type FetchKey = () => Promise<RpcResult<AuthenticatedKey>>;

/** An isolate's cache of keys, by the digest of a secret or by a key's id. */
export class KeyCache {
  readonly #entries = new Map<string, CacheEntry>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Returns a valid key, cached or fetched. `waitUntil` keeps a refresh alive after the request. Throws the error of the key's object, `auth.expired`. */
  async get(
    cacheKey: string,
    fetchKey: FetchKey,
    waitUntil: (work: Promise<unknown>) => void,
  ): Promise<AuthenticatedKey> {
    const now = this.#now();
    const entry = this.#entries.get(cacheKey);
    const isCurrent = entry !== undefined && now - entry.fetchedAt < MAX_AGE_MS;
    if (!isCurrent) return this.#unwrapActive(await this.#fetch(cacheKey, fetchKey));
    if (now - entry.refreshedAt > REFRESH_MS) {
      entry.refreshedAt = now;
      waitUntil(this.#fetch(cacheKey, fetchKey).catch(() => {}));
    }
    return this.#unwrapActive(entry.result);
  }

  #unwrapActive(result: RpcResult<AuthenticatedKey>): AuthenticatedKey {
    const key = unwrap(result);
    if ((key.expiresAt ?? Infinity) <= this.#now()) throw new GatewayError("auth.expired", "the key has expired");
    return key;
  }

  async #fetch(cacheKey: string, fetchKey: FetchKey): Promise<RpcResult<AuthenticatedKey>> {
    // Taken before the fetch: the object may have read its state at any time after this.
    const fetchedAt = this.#now();
    const result = await fetchKey().catch((cause: unknown): never => {
      throw toGatewayError(cause);
    });
    if (this.#entries.size >= MAX_ENTRIES) this.#entries.clear();
    this.#entries.set(cacheKey, { result, fetchedAt, refreshedAt: fetchedAt });
    return result;
  }
}
