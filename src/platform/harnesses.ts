import type { Caller } from "../keys/caller.ts";
import { defaultHarnessOf, harnessIdOf, parseHarnessId } from "../keys/harness-id.ts";
import type { DefiningServices } from "../runs/define-run.ts";
import { McpServers } from "../runs/servers/mcp-servers.ts";
import type { Harness, HarnessVersion } from "../runs/state/harness.ts";
import { parseJson } from "../wire/json.ts";
import { organizationStub } from "./key-stubs.ts";
import { findToolSecret } from "./org-secrets.ts";
import { outboundNetworkFor } from "./outbound-network.ts";
import { RefreshedCache } from "./refreshed-cache.ts";

type Env = Pick<Cloudflare.Env, "ORGANIZATIONS">;
type Cached = { version: HarnessVersion; length: number } | undefined;

/** Definitions in memory, as JSON. Characters. */
const MAX_CACHED_LENGTH = 4 * 1024 * 1024;
/** What an entry takes beside its definition. */
const ENTRY_LENGTH = 512;

const HARNESSES = new RefreshedCache<Cached>(MAX_CACHED_LENGTH, (found) => ENTRY_LENGTH + (found?.length ?? 0));

/**
 * The version of an organisation's harness that an id names, or the newest. Undefined: there is none, or it has been deleted. A change is
 * seen within 20 seconds, a new harness at once.
 */
export async function findHarness(
  env: Env,
  org: string,
  id: string,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<HarnessVersion | undefined> {
  const named = parseHarnessId(id);
  if (named === undefined) return undefined;
  const load = async (known: Cached): Promise<Cached> => {
    const stored = await organizationStub(env, org).harness(named.name, named.version);
    if (stored === undefined) return undefined;
    const found = harnessIdOf(stored);
    // A version never changes: what is parsed is still right.
    if (known?.version.id === found) return known;
    const harness = parseJson(stored.body) as unknown as Harness;
    return { version: { id: found, harness }, length: stored.body.length };
  };
  return (await HARNESSES.get(keyOf(org, id), load, { waitUntil, isCurrent }))?.version;
}

const OF_ORGANIZATIONS = new RefreshedCache<string | null>(5_000);

/** The harness of a caller's runs that name none: of its key, or else of its organisation. Undefined: there is none. */
export async function findDefaultHarness(
  env: Env,
  { org, policy }: Caller,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<string | undefined> {
  const own = defaultHarnessOf(policy, undefined);
  if (own !== undefined) return own;
  const load = async (): Promise<string | null> =>
    (await organizationStub(env, org).describe())?.policy.harness ?? null;
  return defaultHarnessOf(undefined, { harness: await OF_ORGANIZATIONS.get(org, load, { waitUntil }) });
}

/** What defining a run uses where it is not an object that defines it. */
export function definingServicesFor(
  env: Cloudflare.Env,
  waitUntil: (work: Promise<unknown>) => void,
): DefiningServices {
  const findSecret: DefiningServices["findSecret"] = (org, name) => findToolSecret(env, org, name, waitUntil);
  const network = outboundNetworkFor(env);
  const servers = new McpServers(network, findSecret);
  return { findHarness: (org, id) => findHarness(env, org, id, waitUntil), findSecret, network, servers };
}

/** After an organisation was changed here; other isolates see it within 20 seconds. */
export const clearDefaultHarness = (org: string): boolean => OF_ORGANIZATIONS.delete(org);

/** What was not there may be by now. */
const isCurrent = (found: Cached): boolean => found !== undefined;

const keyOf = (org: string, id: string): string => JSON.stringify([org, id]);

/** After a new version was stored here; other isolates see it within 20 seconds. */
export const clearNewestHarness = (org: string, name: string): boolean =>
  HARNESSES.delete(keyOf(org, harnessIdOf({ name })));

/** After a harness was deleted here, with all its versions. */
export const clearHarnesses = (): void => HARNESSES.clear();
