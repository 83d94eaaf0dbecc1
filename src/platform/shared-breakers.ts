import type { BreakerStore } from "../routing/breaker.ts";
import { raceTimeout } from "../wire/time.ts";

/**
 * Shares open breakers between the isolates of a data centre through its cache. Where there is no cache (on
 * `workers.dev`), or it fails, every isolate relies on its own observations.
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

/** A cache key outside every zone, so that no client's request can match it. */
const urlOf = (key: string): string => `https://targets.rhone.invalid/${encodeURIComponent(key)}`;

/** A call waits for the cache, so a slow answer counts as none. Milliseconds. */
const CACHE_TIMEOUT = 250;

const tryCache = <T>(work: () => Promise<T>): Promise<T | undefined> =>
  raceTimeout(
    work().catch(() => undefined),
    CACHE_TIMEOUT,
  );
