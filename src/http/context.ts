import type { Caller } from "../gateway/call.ts";

/** What every route has: the bindings, and who calls. */
export type AppEnv = { Bindings: Cloudflare.Env; Variables: { caller: Caller } };
