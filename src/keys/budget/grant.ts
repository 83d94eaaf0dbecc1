import type { ErrorCode } from "../../canonical/error.ts";

/** The cost of a call, estimated or actual. `micros`: micro-dollars. */
export type Amount = { micros: number; tokens: number };

/**
 * A request for a grant: for one call of this estimate, and for up to `calls` of them if the limits allow. `least`: the
 * request sets no limit of output, so the call may also run with less money, but not less than this. `isUnpriced`: the
 * model's price is unknown.
 */
export type GrantRequest = Amount & { calls: number; least?: number; isUnpriced?: boolean };

/** A reservation for `calls` calls until `expiresAt`, in Unix milliseconds. Infinity: not limited. */
export type Grant = Amount & { id: string; calls: number; expiresAt: number; rates: Rates };

/** State of the limits per minute, for response headers. `resetAt`: Unix milliseconds. */
export type Rates = { requests?: RateState; tokens?: RateState };

export type RateState = { limit: number; remaining: number; resetAt: number };

/** The members of the GatewayError that the caller gets. */
export type LedgerRefusal = { code: ErrorCode; message: string; retryAfterSeconds?: number; rates?: Rates };

/** `wait`: outstanding reservations, if returned, would make the request fit. */
export type GrantResult = { grant: Grant } | { refused: LedgerRefusal; wait?: boolean };

/** A call that has ended. `held`: its reservation; `took`: its actual cost. */
export type Settlement = { grant: string; call: string; held: Amount; took: Amount };

/** The unused rest of a grant that an isolate gives up. */
export type GrantReturn = Amount & { grant: string; calls: number };
