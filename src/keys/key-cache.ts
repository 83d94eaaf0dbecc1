import { GatewayError, toGatewayError } from "../canonical/error.ts";
import type { Policy } from "./policy.ts";
import { unwrap, type RpcResult } from "../canonical/rpc-error.ts";

/** What an isolate has to know of a key to let its callers in. `expiresAt`: of the secret or of the key, if ever. */
export type AuthenticatedKey = { keyId: string; org: string; policy: Policy; payers: string[]; expiresAt?: number };

/** What a key's object says counts for this long: a key that is revoked is dead everywhere after five seconds, the way to an answer included. Milliseconds. */
const MAX_AGE_MS = 4_000;
/** From then on it is asked anew beside a call, so that none has to wait for it. Milliseconds. */
const REFRESH_MS = 2_000;
/** Answers remembered by an isolate; beyond it, it begins anew. */
const MAX_ENTRIES = 10_000;

type CacheEntry = { result: RpcResult<AuthenticatedKey>; fetchedAt: number; refreshedAt: number };
type FetchKey = () => Promise<RpcResult<AuthenticatedKey>>;

/** What the keys' objects have said lately, by what it was asked by: the whole digest of a secret, or a key's id. */
export class KeyCache {
  readonly #entries = new Map<string, CacheEntry>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** `later` keeps a question alive that nobody waits for. Throws what the object refuses with. */
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
    // Before the question: what is answered may be that old.
    const fetchedAt = this.#now();
    const result = await fetchKey().catch((cause: unknown): never => {
      throw toGatewayError(cause);
    });
    if (this.#entries.size >= MAX_ENTRIES) this.#entries.clear();
    this.#entries.set(cacheKey, { result, fetchedAt, refreshedAt: fetchedAt });
    return result;
  }
}
