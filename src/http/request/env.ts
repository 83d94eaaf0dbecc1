import type { Caller } from "../../keys/caller.ts";

/** What every route has: the bindings, and who calls. `admitted`: who that is now, for what lasts longer than a request. Throws `auth.*`. */
export type AppEnv = { Bindings: Cloudflare.Env; Variables: { caller: Caller; admitted: () => Promise<Caller> } };

/** Whose clients read the answers of a path. Every other path is the gateway's own. */
export const GEMINI_PATH = /^\/(v1beta\/|v1\/(publishers|projects)\/|v1\/models\/.*:)/;
