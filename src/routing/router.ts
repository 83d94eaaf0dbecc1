import { Breakers, type BreakerStore, LOCAL_ONLY } from "./breaker.ts";
import { type Config, ConfigError, readConfig } from "./config.ts";

/** The routing state that all calls of an isolate share. */
export type Router = {
  config: Config;
  breakers: Breakers;
  now: () => number;
  /** A random number in [0, 1). */
  random: () => number;
  /** Why the current configuration is not in use. Shown by the health endpoint. */
  problem?: string;
};

function assembleRouter(config: Config, shared: BreakerStore): Router {
  const { now } = Date;
  return { config, breakers: new Breakers(config.cooldown, now, shared), now, random: Math.random };
}

/**
 * The router for a configuration's text. An invalid text is not used: `lastGood`, the text of the last valid one, is used
 * instead, or else the defaults, and `problem` states the reason. `shared`: see `BreakerStore`.
 */
export function createRouter(text: string | undefined, lastGood?: string, shared: BreakerStore = LOCAL_ONLY): Router {
  try {
    return assembleRouter(readConfig(text), shared);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { ...createRouter(lastGood === text ? undefined : lastGood, undefined, shared), problem: error.message };
  }
}
