import { createRouter, type Router } from "../routing/router.ts";
import { cacheBreakers } from "./shared-breakers.ts";

type Env = Pick<Cloudflare.Env, "RHONE_CONFIG" | "BLOBS" | "NETWORK">;

/** R2 key of the last valid configuration, which a deployment with an invalid one continues to use. */
const LAST_GOOD_KEY = "config/last-good.json";

const BREAKERS = cacheBreakers(() => caches.default);

let current: { text: string | undefined; router: Router; isSettled: boolean } | undefined;

/** The router shared by all calls of this isolate, in the Worker and in objects. */
export function getIsolateRouter(env: Env): Router {
  const { RHONE_CONFIG: text } = env;
  if (current?.text !== text || current === undefined)
    current = { text, router: createRouter(text, undefined, platformOf(env)), isSettled: text === undefined };
  return current.router;
}

const platformOf = ({ NETWORK: network }: Env): Parameters<typeof createRouter>[2] => ({
  breakers: BREAKERS,
  ...(network && { fetch: (request) => network.fetch(request) }),
});

/**
 * Must be awaited before an isolate's first call; `undefined` if there is nothing to wait for. A valid configuration is
 * stored in the background as the last good one. An invalid one is replaced by the last good one, once, with a log line.
 */
export function loadRouter(env: Env, waitUntil: (work: Promise<unknown>) => void): Promise<void> | undefined {
  const { problem } = getIsolateRouter(env);
  const state = current!;
  if (state.isSettled) return undefined;
  state.isSettled = true;
  if (problem !== undefined) return useLastGood(state, problem, env);
  waitUntil(storeConfig(env, state.text!).catch(() => {}));
  return undefined;
}

async function useLastGood(state: NonNullable<typeof current>, problem: string, env: Env): Promise<void> {
  console.error("RHONE_CONFIG is invalid, the last valid configuration is used:", problem);
  const stored = await env.BLOBS.get(LAST_GOOD_KEY)
    .then((found) => found?.text())
    .catch(() => undefined);
  state.router = createRouter(state.text, stored, platformOf(env));
}

/** Writes only if the stored text differs: isolates start often, configurations change rarely. */
async function storeConfig({ BLOBS }: Env, text: string): Promise<void> {
  const stored = await BLOBS.get(LAST_GOOD_KEY);
  if ((await stored?.text()) !== text) await BLOBS.put(LAST_GOOD_KEY, text);
}
