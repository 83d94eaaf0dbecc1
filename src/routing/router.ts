import type { Fetch } from "../providers/request.ts";
import { Breakers, type BreakerStore, LOCAL_ONLY } from "./breaker.ts";
import { type Config, ConfigError, readConfig } from "./config.ts";

/** The routing state that all calls of an isolate share. */
export type Router = {
  config: Config;
  breakers: Breakers;
  now: () => number;
  /** A random number in [0, 1). */
  random: () => number;
  fetch: Fetch;
  /** Why the current configuration is not in use. Shown by the health endpoint. */
  problem?: string;
};

/** What a router has from its platform. `breakers`: see `BreakerStore`. */
type Platform = { breakers?: BreakerStore; fetch?: Fetch };

function assembleRouter(
  config: Config,
  { breakers = LOCAL_ONLY, fetch = (request) => globalThis.fetch(request) }: Platform,
): Router {
  const { now } = Date;
  return { config, breakers: new Breakers(config.cooldown, now, breakers), now, random: Math.random, fetch };
}

/**
 * The router for a configuration's text. An invalid text is not used: `lastGood`, the text of the last valid one, is used
 * instead, or else the defaults, and `problem` states the reason.
 */
export function createRouter(text: string | undefined, lastGood?: string, platform: Platform = {}): Router {
  try {
    return assembleRouter(readConfig(text), platform);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { ...createRouter(lastGood === text ? undefined : lastGood, undefined, platform), problem: error.message };
  }
}
