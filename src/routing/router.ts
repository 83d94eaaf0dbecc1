import { Breakers, type BreakerStore, LOCAL_ONLY } from "./breaker.ts";
import { type Config, ConfigError, readConfig } from "./config.ts";

/** What all calls of an isolate share: where they may go, and what is known of the targets. */
export type Router = {
  config: Config;
  breakers: Breakers;
  now: () => number;
  /** From 0 up to, but without, 1. */
  random: () => number;
  /** Why the deployment's own configuration is not the one in use. */
  problem?: string;
};

function assembleRouter(config: Config, shared: BreakerStore): Router {
  const { now } = Date;
  return { config, breakers: new Breakers(config.cooldown, now, shared), now, random: Math.random };
}

/**
 * The router for a configuration's text. One that is wrong takes nothing down: the last good one stays (`lastGood`, its
 * text), or else the defaults, and `problem` says why. `shared`: where its isolate and others tell each other of targets.
 */
export function createRouter(text: string | undefined, lastGood?: string, shared: BreakerStore = LOCAL_ONLY): Router {
  try {
    return assembleRouter(readConfig(text), shared);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { ...createRouter(lastGood === text ? undefined : lastGood, undefined, shared), problem: error.message };
  }
}
