import { type Router, routerFor } from "../routing/router.ts";
import { cacheBreakers } from "./shared-breakers.ts";

type Env = Pick<Cloudflare.Env, "RHONE_CONFIG" | "BLOBS">;

/** Where the newest configuration stands that was good: a deployment with a bad one goes on with it. */
const LAST_GOOD_KEY = "config/last-good.json";

const SHARED_BREAKERS = cacheBreakers(() => caches.default);

let current: { text: string | undefined; router: Router; isSettled: boolean } | undefined;

/** The router that all calls of this isolate share, be they handled in the Worker or in an object. */
export function isolateRouter({ RHONE_CONFIG: text }: Env): Router {
  if (current?.text !== text || current === undefined)
    current = { text, router: routerFor(text, undefined, SHARED_BREAKERS), isSettled: text === undefined };
  return current.router;
}

/**
 * To be awaited before an isolate's first call; undefined: there is nothing to wait for. A good configuration is kept
 * for the day when a bad one comes, behind the call's back; a bad one is replaced by the last good one, once, and the log
 * says so.
 */
export function loadRouter(env: Env, later: (work: Promise<unknown>) => void): Promise<void> | undefined {
  const { problem } = isolateRouter(env);
  const state = current!;
  if (state.isSettled) return undefined;
  state.isSettled = true;
  if (problem !== undefined) return useLastGood(state, problem, env);
  later(storeConfig(env, state.text!).catch(() => {}));
  return undefined;
}

async function useLastGood(state: NonNullable<typeof current>, problem: string, { BLOBS }: Env): Promise<void> {
  console.error("RHONE_CONFIG is not used, the last good one stays:", problem);
  const stored = await BLOBS.get(LAST_GOOD_KEY)
    .then((found) => found?.text())
    .catch(() => undefined);
  state.router = routerFor(state.text, stored, SHARED_BREAKERS);
}

/** Isolates start often and configurations change seldom: what stands there already is not written again. */
async function storeConfig({ BLOBS }: Env, text: string): Promise<void> {
  const stored = await BLOBS.get(LAST_GOOD_KEY);
  if ((await stored?.text()) !== text) await BLOBS.put(LAST_GOOD_KEY, text);
}
