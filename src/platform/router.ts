import { createRouter, type Router } from "../routing/router.ts";
import { cacheBreakers } from "./shared-breakers.ts";

type Env = Pick<Cloudflare.Env, "RHONE_CONFIG" | "BLOBS">;

/** R2 key of the last valid configuration, which a deployment with an invalid one continues to use. */
const LAST_GOOD_KEY = "config/last-good.json";

const SHARED_BREAKERS = cacheBreakers(() => caches.default);

let current: { text: string | undefined; router: Router; isSettled: boolean } | undefined;

/** The router shared by all calls of this isolate, in the Worker and in objects. */
export function getIsolateRouter({ RHONE_CONFIG: text }: Env): Router {
  if (current?.text !== text || current === undefined)
    current = { text, router: createRouter(text, undefined, SHARED_BREAKERS), isSettled: text === undefined };
  return current.router;
}

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

async function useLastGood(state: NonNullable<typeof current>, problem: string, { BLOBS }: Env): Promise<void> {
  console.error("RHONE_CONFIG is invalid, the last valid configuration is used:", problem);
  const stored = await BLOBS.get(LAST_GOOD_KEY)
    .then((found) => found?.text())
    .catch(() => undefined);
  state.router = createRouter(state.text, stored, SHARED_BREAKERS);
}

/** Writes only if the stored text differs: isolates start often, configurations change rarely. */
async function storeConfig({ BLOBS }: Env, text: string): Promise<void> {
  const stored = await BLOBS.get(LAST_GOOD_KEY);
  if ((await stored?.text()) !== text) await BLOBS.put(LAST_GOOD_KEY, text);
}
