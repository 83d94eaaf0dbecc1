import type { Caller } from "../../keys/caller.ts";

/** What every route has: the bindings, and who calls. `admitted`: who that is now, for what lasts longer than a request. Throws `auth.*`. */
export type AppEnv = { Bindings: Cloudflare.Env; Variables: { caller: Caller; admitted: () => Promise<Caller> } };
