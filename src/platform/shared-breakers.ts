import type { BreakerStore } from "../routing/breaker.ts";
import { raceTimeout } from "../wire/time.ts";

/**
 * What the isolates of a data centre tell each other of targets that are down, in its cache. Where a Worker has none (on
 * `workers.dev`), or it fails, nothing is known, and each isolate finds out by itself.
 */
export function cacheBreakers(
  cache: () => Pick<Cache, "match" | "put" | "delete">,
  now: () => number = Date.now,
): BreakerStore {
  return {
    downUntil: async (key) => {
      const found = await tryCache(async () => await cache().match(urlOf(key)));
      const until = Number(await found?.text());
      return Number.isNaN(until) ? undefined : until;
    },
    markDown: async (key, until) => {
      const seconds = Math.ceil((until - now()) / 1000);
      const entry = new Response(String(until), { headers: { "cache-control": `max-age=${seconds}` } });
      await tryCache(async () => await cache().put(urlOf(key), entry));
    },
    markUp: async (key) => void (await tryCache(async () => await cache().delete(urlOf(key)))),
  };
}

/** No request of a client's can have this address: it is none of the zone's. */
const urlOf = (key: string): string => `https://targets.rhone.invalid/${encodeURIComponent(key)}`;

/** A cache is asked on behalf of a call that waits: what it does not know soon, it does not know. Milliseconds. */
const CACHE_TIMEOUT = 250;

const tryCache = <T>(work: () => Promise<T>): Promise<T | undefined> =>
  raceTimeout(
    work().catch(() => undefined),
    CACHE_TIMEOUT,
  );
