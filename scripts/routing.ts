import { GatewayError } from "../src/canonical/error.ts";
import type { Provider } from "../src/providers/provider.ts";
import { isConfigured, readProviders } from "../src/providers/registry.ts";
import { type Config, ConfigError, readConfig, resolveAlias } from "../src/routing/config.ts";
import { locate } from "../src/routing/locate.ts";
import { Refusal } from "./refusal.ts";

/**
 * Refuses a `RHONE_CONFIG` that is wrong, or that names a model or a provider which does not exist. A target whose
 * provider only has no key yet is a warning: its route goes on without it.
 */
export async function checkRouting(given: Record<string, string | undefined>): Promise<string[]> {
  const config = read(given.RHONE_CONFIG);
  const { rows } = readProviders(given);
  const warnings = await Promise.all(named(config).map((one) => check(one, rows)));
  return warnings.flat();
}

function read(text: string | undefined): Config {
  try {
    return readConfig(text);
  } catch (error) {
    if (error instanceof ConfigError) throw new Refusal(error.message);
    throw error;
  }
}

type Named = { at: string; model: string };

/** Every model that the configuration names, and where. */
function named({ aliases, routes }: Config): Named[] {
  const targets = [...routes].flatMap(([name, { targets: all }]) =>
    all.map(({ model }, i) => ({ at: `RHONE_CONFIG.routes.${name}[${i}].target`, model })),
  );
  const meant = [...aliases.keys()]
    .map((name) => ({ at: `RHONE_CONFIG.aliases.${name}`, model: resolveAlias(name, aliases) }))
    .filter(({ model }) => !routes.has(model.toLowerCase()));
  return [...meant, ...targets];
}

async function check({ at, model }: Named, rows: ReadonlyMap<string, Provider>): Promise<string[]> {
  const provider = rows.get(model.slice(0, Math.max(0, model.indexOf("/"))).toLowerCase());
  try {
    await locate(model, "openai-chat", rows);
    return [];
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const line = `${at}: ${error.message.replace(/^model: /, "")}`;
    if (provider !== undefined && !isConfigured(provider)) return [line];
    throw new Refusal(line);
  }
}
