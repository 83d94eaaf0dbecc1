import type { Policy } from "./policy.ts";

/**
 * The authenticated caller: a key and its organisation. `policy`: what the key may do; absent for the bootstrap key, which
 * may do everything. `payers`: the ids of the keys above it, which are charged as well. Sent to session objects over RPC.
 */
export type Caller = {
  org: string;
  keyId: string;
  policy?: Policy;
  payers?: string[];
  /** Set for a client token: the only session it is valid for, and its expiry in Unix milliseconds. */
  session?: string;
  expiresAt?: number;
};
