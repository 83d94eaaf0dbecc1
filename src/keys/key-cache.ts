import { GatewayError, toGatewayError } from "../canonical/error.ts";
import type { Policy } from "./policy.ts";
import { unwrap, type RpcResult } from "../canonical/rpc-error.ts";

/** What an isolate has to know of a key to let its callers in. `expiresAt`: of the secret or of the key, if ever. */
export type AuthenticatedKey = { keyId: string; org: string; policy: Policy; payers: string[]; expiresAt?: number };

/** What a key's object says counts for this long: a key that is revoked is dead everywhere after five seconds, the way to an answer included. Milliseconds. */
const STANDING_MS = 4_000;
/** From then on it is asked anew beside a call, so that none has to wait for it. Milliseconds. */
const REFRESH_MS = 2_000;
/** Answers remembered by an isolate; beyond it, it begins anew. */
const MAX_KNOWN = 10_000;

type Known = { told: RpcResult<AuthenticatedKey>; askedAt: number; refreshedAt: number };
type Ask = () => Promise<RpcResult<AuthenticatedKey>>;

/** What the keys' objects have said lately, by what it was asked by: the whole digest of a secret, or a key's id. */
export class KeyCache {
  readonly #known = new Map<string, Known>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** `later` keeps a question alive that nobody waits for. Throws what the object refuses with. */
  async get(name: string, ask: Ask, later: (work: Promise<unknown>) => void): Promise<AuthenticatedKey> {
    const now = this.#now();
    const known = this.#known.get(name);
    const isCurrent = known !== undefined && now - known.askedAt < STANDING_MS;
    if (!isCurrent) return this.#standing(await this.#ask(name, ask));
    if (now - known.refreshedAt > REFRESH_MS) {
      known.refreshedAt = now;
      later(this.#ask(name, ask).catch(() => {}));
    }
    return this.#standing(known.told);
  }

  #standing(told: RpcResult<AuthenticatedKey>): AuthenticatedKey {
    const admitted = unwrap(told);
    if ((admitted.expiresAt ?? Infinity) <= this.#now()) throw new GatewayError("auth.expired", "the key has expired");
    return admitted;
  }

  async #ask(name: string, ask: Ask): Promise<RpcResult<AuthenticatedKey>> {
    // Before the question: what is answered may be that old.
    const askedAt = this.#now();
    const told = await ask().catch((cause: unknown): never => {
      throw toGatewayError(cause);
    });
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(name, { told, askedAt, refreshedAt: askedAt });
    return told;
  }
}
