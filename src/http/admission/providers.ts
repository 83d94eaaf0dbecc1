import type { Context } from "hono";
import { type ProviderTable, providersFor } from "../../platform/org-providers.ts";
import type { AppEnv } from "../request/env.ts";

/** The provider rows of the caller's organisation, with the organisation's own credentials. */
export const loadCallerProviders = ({ env, var: { caller }, executionCtx }: Context<AppEnv>): Promise<ProviderTable> =>
  providersFor(env, caller.org, (work) => executionCtx.waitUntil(work));
