import type { PathParams } from "../../dialects/dialect.ts";
import type { FoundTools } from "../../gateway/session/call-runs.ts";
import { findNamedServers } from "../../gateway/session/named-servers.ts";
import type { Caller } from "../../keys/caller.ts";
import { findDefaultHarness } from "../../platform/harnesses.ts";
import { providersFor } from "../../platform/org-providers.ts";
import { getIsolateRouter } from "../../platform/router.ts";
import { type SurfaceId, SURFACES } from "../../surfaces/index.ts";
import type { RequestText } from "../../surfaces/request.ts";

type RequestFacts = {
  surface: SurfaceId;
  outside: PathParams;
  caller: Caller;
  env: Cloudflare.Env;
  waitUntil: (work: Promise<unknown>) => void;
};

/** What the gateway executes for a request beside what its `rhone` object names. Throws `request.invalid`, naming the field. */
export async function findServerTools(
  members: RequestText,
  { surface, outside, caller, env, waitUntil }: RequestFacts,
): Promise<FoundTools> {
  const [harness, servers] = await Promise.all([
    findDefaultHarness(env, caller, waitUntil),
    findNamedServers(members, {
      surface: SURFACES[surface],
      outside,
      config: getIsolateRouter(env).config,
      providers: () => providersFor(env, caller.org, waitUntil),
    }),
  ]);
  return { harness, servers };
}
