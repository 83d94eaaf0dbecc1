import type { Caller } from "../../keys/caller.ts";

/**
 * What every route has: the bindings and the caller. `admitted` authenticates the caller again, for connections that
 * outlive their request; it throws `auth.*`.
 */
export type AppEnv = { Bindings: Cloudflare.Env; Variables: { caller: Caller; reauthenticate: () => Promise<Caller> } };

/** The platform's context of a request, as far as it is used. `storesAnswer`: the request has an idempotency key. */
export type CallContext = Pick<ExecutionContext, "waitUntil"> & { storesAnswer?: boolean };

/** Paths of Gemini's API, on which errors have Google's shape. */
export const GEMINI_PATH = /^\/(v1beta\/|v1\/(publishers|projects)\/|v1\/models\/.*:)/;
