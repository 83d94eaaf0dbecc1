import type { OutboundNetwork } from "../outbound/bounded-fetch.ts";
import { getIsolateRouter } from "./router.ts";

/**
 * How requests to URLs from outside reach the network: public addresses only, which the platform sees to (docs/tools.md), and the
 * origins that the deployment has registered (`tools.origins` in RHONE_CONFIG).
 */
export function outboundNetworkFor(
  env: Pick<Cloudflare.Env, "PUBLIC_NETWORK" | "NETWORK" | "RHONE_CONFIG" | "BLOBS">,
): OutboundNetwork {
  return {
    get reach() {
      return getIsolateRouter(env).config.tools;
    },
    fetchPublic: fetchOver(env.PUBLIC_NETWORK),
    fetchRegistered: fetchOver(env.NETWORK),
  };
}

const fetchOver = (network: Fetcher | undefined): typeof fetch =>
  network === undefined ? (input, init) => fetch(input, init) : (input, init) => network.fetch(input, init);
