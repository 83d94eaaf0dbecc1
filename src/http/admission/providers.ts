import type { Context } from "hono";
import type { AppEnv } from "../request/env.ts";
import { type Rows, providersFor } from "../../platform/org-providers.ts";

/** Those of the caller's organisation. */
export const callerProviders = ({ env, var: { caller }, executionCtx }: Context<AppEnv>): Promise<Rows> =>
  providersFor(env, caller.org, (work) => executionCtx.waitUntil(work));
