import type { Policy } from "./policy.ts";

/**
 * Who calls: a key and its organisation. `policy`: what the key may do; absent, everything: it is the bootstrap key.
 * `payers`: the keys that made it, which are charged as well. It crosses to a session's object.
 */
export type Caller = {
  org: string;
  keyId: string;
  policy?: Policy;
  payers?: string[];
  /** Of a client token: it speaks for this session alone, until then, in Unix milliseconds. */
  session?: string;
  expiresAt?: number;
};
